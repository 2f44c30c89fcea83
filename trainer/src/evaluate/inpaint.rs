//! Filling holes in Fashion-MNIST: the square in the middle, and 64 drawn holes each of rectangles and strokes,
//! which the test images are given in turn.

use std::path::Path;

use anyhow::Context;
use atelier_package::Package;
use tch::{Device, Kind, Tensor};

use super::fills::Statistics;
use super::report::{Bound, Figure, Report};
use super::ssim::similarity;
use super::{Settings, plain, session, torch};
use crate::data::fashion::Fashion;
use crate::data::holes::Hole;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use crate::random;

/// Drawn holes of a kind.
const HOLES: u64 = 64;
/// What the holes are drawn from.
const SEED: u64 = 3000;

/// The holes of a kind, each `[1, side, side]`.
#[must_use]
pub fn holes(kind: Hole, side: usize) -> Vec<Tensor> {
    let count = if kind == Hole::Centre { 1 } else { HOLES };
    let draw = |number| {
        let pixels = kind.draw(side, &mut random::generator(&[SEED, number]));
        Tensor::from_slice(&pixels).reshape([1, side as i64, side as i64])
    };
    (0..count).map(draw).collect()
}

/// Fills the images whose number is `i` modulo the number of holes with hole `i`, and puts all in order again.
/// `fill` gets images `[n, 1, h, w]` and a hole `[1, h, w]`. Returns the images filled and their holes.
///
/// # Errors
/// What `fill` says.
pub fn in_turn(
    images: &Tensor,
    holes: &[Tensor],
    mut fill: impl FnMut(&Tensor, &Tensor) -> anyhow::Result<Tensor>,
) -> anyhow::Result<(Tensor, Tensor)> {
    let (filled, masks) = (images.zeros_like(), images.zeros_like());
    let (n, step) = (images.size()[0], holes.len() as i64);
    for (first, hole) in (0..n).zip(holes) {
        let chosen = |x: &Tensor| x.slice(0, first, n, step);
        chosen(&filled).copy_(&fill(&chosen(images), hole)?);
        chosen(&masks).copy_(&hole.expand_as(&chosen(images)));
    }
    Ok((filled, masks))
}

/// Peak signal-to-noise ratio over all pixels of all holes together, in decibels.
#[must_use]
pub fn psnr_inside(filled: &Tensor, images: &Tensor, masks: &Tensor) -> f64 {
    let squares = ((filled - images).square() * masks).sum(Kind::Double) / masks.sum(Kind::Double);
    -10.0 * squares.double_value(&[]).log10()
}

/// Mean structural similarity of the pixels of all holes together.
#[must_use]
pub fn ssim_inside(filled: &Tensor, images: &Tensor, masks: &Tensor) -> f64 {
    let inside = (similarity(filled, images) * masks).sum(Kind::Double) / masks.sum(Kind::Double);
    inside.double_value(&[])
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let train = Fashion::read(data, "train")?;
    let statistics = Statistics::of(&train.range(0, train.len(), Device::Cpu));
    let test = Fashion::read(data, "t10k")?;
    let count = settings.limit.map_or(test.len(), |n| (n as i64).min(test.len()));
    let images = test.range(0, count, Device::Cpu);
    let mut inpainter = session(package, runtime, "inpainter")?;
    let (mut noise, mut similar) = (Vec::new(), Vec::new());
    for kind in Hole::ALL {
        let holes = holes(kind, images.size()[3] as usize);
        let figures = |fill: &mut dyn FnMut(&Tensor, &Tensor) -> anyhow::Result<Tensor>| {
            let (filled, masks) = in_turn(&images, &holes, fill)?;
            anyhow::Ok([psnr_inside(&filled, &images, &masks), ssim_inside(&filled, &images, &masks)])
        };
        let ours = figures(&mut |images, hole| run(&mut inpainter, images, hole))?;
        let baselines = [
            ("mean", figures(&mut |images, hole| Ok(statistics.mean(images, hole)))?),
            ("harmonic", figures(&mut |images, hole| Ok(statistics.harmonic(images, hole)))?),
            ("gaussian", figures(&mut |images, hole| Ok(statistics.gaussian(images, hole)))?),
        ];
        let beside = |which: usize| baselines.map(|(name, values)| (name, values[which]));
        let best = baselines.iter().map(|(_, values)| values[0]).fold(f64::NEG_INFINITY, f64::max);
        noise.push(
            Figure::new(format!("psnr_db_{}", kind.name()), ours[0])
                .beside(&beside(0))
                .levels(Bound::AtLeast(best + 1.0), Bound::AtLeast(best + 2.5)),
        );
        similar.push(Figure::new(format!("ssim_{}", kind.name()), ours[1]).beside(&beside(1)));
    }
    noise.extend(similar);
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Fashion-MNIST test, {count} images; over the pixels of all holes together, and those only: the square \
             in the middle, {HOLES} drawn holes of rectangles, {HOLES} of strokes (seed {SEED}), taken in turn"
        ),
        figures: noise,
        notes: vec![
            "mean: each pixel's over the train images; harmonic: every pixel the mean of its neighbours; gaussian: \
             the best linear prediction from the known pixels"
                .into(),
        ],
    })
}

fn run(graph: &mut GraphSession, images: &Tensor, hole: &Tensor) -> anyhow::Result<Tensor> {
    let mut parts = Vec::new();
    for chunk in images.contiguous().split(250, 0) {
        let outputs = graph.run(&[plain(&chunk)?, plain(&hole.expand_as(&chunk).contiguous())?])?;
        parts.push(torch(outputs.first().context("inpainter gives nothing")?)?);
    }
    Ok(Tensor::cat(&parts, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pixels_of_holes_are_counted() {
        let images = Tensor::zeros([5, 1, 28, 28], (Kind::Float, Device::Cpu));
        let holes = holes(Hole::Rectangles, 28);
        let (filled, masks) = in_turn(&images, &holes, |images, hole| {
            // A tenth too bright in the hole, and far off elsewhere.
            Ok(images + hole * -0.4 + 0.5)
        })
        .unwrap();
        assert!((psnr_inside(&filled, &images, &masks) - 20.0).abs() < 1e-4);
        for (i, hole) in holes.iter().take(5).enumerate() {
            assert_eq!(masks.get(i as i64), *hole);
        }
        assert!(ssim_inside(&images, &images, &masks) > 0.9999);
    }
}
