//! Histograms of oriented gradients (Dalal and Triggs 2005) of pictures of 28 x 28: features of shape and
//! shading that need no training, so that a distance between sets of pictures means the same everywhere.

use tch::{Kind, Tensor};

/// Directions of an edge that are told apart.
const ORIENTATIONS: i64 = 8;
/// Height and width of a cell.
const CELL: i64 = 4;
/// Pictures at a time.
const CHUNK: i64 = 2_000;

/// Features f32 `[n, 441]` of pictures f32 `[n, 1, 28, 28]` in [0, 1]: 8 orientations in 7 x 7 cells of 4
/// pixels, normalised over 3 x 3 cells, and the mean of each cell.
pub fn hog(images: &Tensor) -> Tensor {
    let parts: Vec<Tensor> = images.split(CHUNK, 0).iter().map(features).collect();
    Tensor::cat(&parts, 0)
}

/// Means of `size` x `size` squares that do not overlap (`step` = `size`) or do.
fn means(x: &Tensor, size: i64, step: i64) -> Tensor {
    x.avg_pool2d([size, size], [step, step], [0, 0], false, true, None::<i64>)
}

fn features(images: &Tensor) -> Tensor {
    let shape = cells(images, CELL, 0.04);
    Tensor::cat(&[shape, means(images, CELL, CELL).flatten(1, -1)], 1)
}

/// The histograms alone, f32 `[n, 8 (h / size) (w / size)]`, of grey pictures f32 `[n, 1, h, w]`, in cells of
/// `size` x `size` pixels. Where the energy around a cell is not much more than `floor`, edges count less.
pub fn cells(images: &Tensor, size: i64, floor: f64) -> Tensor {
    let padded = images.replication_pad2d([1, 1, 1, 1]);
    let (h, w) = (images.size()[2], images.size()[3]);
    let (across, down) = (padded.narrow(2, 1, h), padded.narrow(3, 1, w));
    let gx = across.narrow(3, 2, w) - across.narrow(3, 0, w);
    let gy = down.narrow(2, 2, h) - down.narrow(2, 0, h);
    let magnitude = gx.hypot(&gy);
    // An edge's direction, not its sign, in units of a bin.
    let angle = gy.atan2(&gx).remainder(std::f64::consts::PI) * (ORIENTATIONS as f64 / std::f64::consts::PI);
    let low = angle.floor();
    let share = &angle - &low;
    let low = low.remainder(ORIENTATIONS);
    let bins: Vec<Tensor> = (0..ORIENTATIONS)
        .map(|k| {
            let this = low.eq(k).to_kind(Kind::Float) * (1.0 - &share);
            let next = low.eq((k + ORIENTATIONS - 1) % ORIENTATIONS).to_kind(Kind::Float) * &share;
            &magnitude * (this + next)
        })
        .collect();
    let cells = means(&Tensor::cat(&bins, 1), size, size) * (size * size) as f64;
    let energy = cells.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    let around = means(&energy.replication_pad2d([1, 1, 1, 1]), 3, 1);
    (cells / (around + floor).sqrt()).flatten(1, -1)
}
