//! Pictures that are no aligned faces, made from faces and from nothing: what [`novelty`](super::novelty)
//! learns to refuse. None of them is taken from another data set, so that those can be measured on.

use tch::{Kind, Tensor};

/// How faces are misplaced: the least and the most of a shift (part of the size), of a turn (radians), and of
/// the window's size (parts of the picture).
struct Misplaced {
    shift: [f64; 2],
    turn: [f64; 2],
    window: [f64; 2],
}

const KINDS: [Misplaced; 4] = [
    Misplaced { shift: [0.17, 0.5], turn: [0.0, 0.3], window: [0.8, 1.2] },
    Misplaced { shift: [0.0, 0.1], turn: [0.6, 3.15], window: [0.8, 1.2] },
    Misplaced { shift: [0.0, 0.3], turn: [0.0, 0.5], window: [0.2, 0.55] },
    Misplaced { shift: [0.0, 0.3], turn: [0.0, 0.5], window: [1.7, 3.5] },
];

/// As many strangers as there are `faces`, `[n, 3, 64, 64]` in [0, 1], with libtorch's generator: faces badly
/// shifted, turned, too near or too far; faces in pieces; smooth and rough noise, flat colours; blobs before a
/// background. Row by row another kind.
pub(super) fn strangers(faces: &Tensor) -> Tensor {
    let groups = faces.chunk(8, 0);
    let made: Vec<Tensor> = groups
        .iter()
        .enumerate()
        .map(|(i, group)| match i {
            0..=3 => misplace(group, &KINDS[i]),
            4 => pieces(group),
            5 | 6 => noise(group),
            _ => blobs(group),
        })
        .collect();
    let made = Tensor::cat(&made, 0);
    // Some of them without colour, as pictures of other things often are.
    let grey = made.mean_dim([1i64].as_slice(), true, Kind::Float);
    let lost = uniform(&made, 0.0, 1.0).lt(0.3).to_kind(Kind::Float);
    (&made + (grey - &made) * lost).clamp(0.0, 1.0)
}

/// A number for each row, `[n, 1, 1, 1]`.
fn uniform(like: &Tensor, low: f64, high: f64) -> Tensor {
    Tensor::rand([like.size()[0], 1, 1, 1], (Kind::Float, like.device())) * (high - low) + low
}

fn misplace(faces: &Tensor, by: &Misplaced) -> Tensor {
    let n = faces.size()[0];
    let number = |[low, high]: [f64; 2]| uniform(faces, low, high).reshape([n]);
    let (direction, shift) = (number([0.0, std::f64::consts::TAU]), number(by.shift) * 2.0);
    let side = number([-1.0, 1.0]).sign();
    let (turn, window) = (number(by.turn) * side, number(by.window));
    let (cos, sin) = (turn.cos() * &window, turn.sin() * &window);
    let across = Tensor::stack(&[&cos, &-&sin, &(direction.cos() * &shift)], 1);
    let down = Tensor::stack(&[&sin, &cos, &(direction.sin() * &shift)], 1);
    let grid = Tensor::affine_grid_generator(&Tensor::stack(&[across, down], 1), faces.size(), false);
    // What comes into view is black in half of the pictures, and the edge drawn out in the others.
    let half = n / 2;
    let sample = |from: i64, count: i64, padding: i64| {
        faces.narrow(0, from, count).grid_sampler(&grid.narrow(0, from, count), 0, padding, false)
    };
    Tensor::cat(&[sample(0, half, 0), sample(half, n - half, 1)], 0)
}

/// Squares of 16 pixels in another order, the same for all.
fn pieces(faces: &Tensor) -> Tensor {
    let n = faces.size()[0];
    let cut = faces.reshape([n, 3, 4, 16, 4, 16]).permute([0, 2, 4, 1, 3, 5]).reshape([n, 16, 3, 16, 16]);
    let order = Tensor::randperm(16, (Kind::Int64, faces.device()));
    let mixed = cut.index_select(1, &order).reshape([n, 4, 4, 3, 16, 16]);
    mixed.permute([0, 3, 1, 4, 2, 5]).reshape([n, 3, 64, 64])
}

/// Noise of every coarseness, from one colour to single pixels.
fn noise(like: &Tensor) -> Tensor {
    let n = like.size()[0];
    let made: Vec<Tensor> = (0..n)
        .map(|i| {
            let side = [1, 2, 3, 5, 9, 17, 64][(i % 7) as usize];
            let coarse = Tensor::rand([1, 3, side, side], (Kind::Float, like.device()));
            coarse.upsample_bicubic2d([64, 64], false, None, None)
        })
        .collect();
    let made = Tensor::cat(&made, 0);
    let contrast = uniform(&made, 0.1, 1.5);
    (made - 0.5) * contrast + uniform(like, 0.1, 0.9)
}

/// Blobs with a texture of their own before a plain background.
fn blobs(like: &Tensor) -> Tensor {
    let n = like.size()[0];
    let field = |side: i64| {
        let coarse = Tensor::rand([n, 1, side, side], (Kind::Float, like.device()));
        coarse.upsample_bicubic2d([64, 64], false, None, None)
    };
    let shape = field(4) + field(8) * 0.5;
    let level = uniform(like, 0.55, 1.0);
    let inside = ((shape - level) * 40.0).sigmoid();
    let plain =
        |low, high| Tensor::rand([n, 3, 1, 1], (Kind::Float, like.device())) * 0.2 + uniform(like, low, high);
    let texture = plain(0.2, 0.9) + (field(12) - 0.5) * uniform(like, 0.0, 0.6);
    let ground = plain(0.0, 1.0) * uniform(like, 0.0, 1.0).gt(0.4).to_kind(Kind::Float);
    &ground + (texture - &ground) * inside
}
