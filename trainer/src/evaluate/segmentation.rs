//! How well a segmenter's masks are those of the annotators, beside a threshold and a classifier of pixels
//! that needs no training but a linear system.

pub mod agreement;
mod d4;
pub mod otsu;
pub mod pixel_ridge;

use std::path::Path;

use anyhow::Context;
use atelier_package::{Dim, Package, Segmentation, Tensor as Plain};
use atelier_transforms::segmentation::{Blend, Mask, Plane, Tiles, normalise};

use super::overlap::Overlap;
use super::report::{Bound, Figure, Report};
use super::{Settings, session};
use crate::data::nuclei::{Nuclei, Nucleus, Part};
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use agreement::Agreement;

/// A package's segmenter on ONNX Runtime, given pictures as the service gives them.
pub struct Segmenter {
    graph: GraphSession,
    table: Segmentation,
    tile: (usize, usize),
}

impl Segmenter {
    /// The graph `segmenter` of a package of kind segmentation.
    ///
    /// # Errors
    /// What ONNX Runtime says against it.
    pub fn new(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Self> {
        let manifest = package.manifest();
        let table = manifest.segmentation.context("there is no [segmentation]")?;
        let image = manifest.graph("segmenter").and_then(|g| g.input("image")).context("no image goes in")?;
        let [_, _, Dim::Fixed(height), Dim::Fixed(width)] = image.shape[..] else {
            anyhow::bail!("the segmenter's tiles have no fixed size");
        };
        Ok(Self { graph: session(package, runtime, "segmenter")?, table, tile: (height, width) })
    }

    /// The picture as the graph sees it.
    #[must_use]
    pub fn normalise(&self, picture: &Plane) -> Plane {
        normalise(picture, &self.table)
    }

    /// The probability of each pixel of a normalised picture of any size.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn probabilities(&mut self, normalised: &Plane) -> anyhow::Result<Plane> {
        let size = (normalised.height(), normalised.width());
        let tiles = Tiles::new(size, self.tile, self.table.overlap);
        let mut blend = Blend::new(tiles.clone());
        for index in 0..tiles.len() {
            let tile = Plain::f32([1, 1, self.tile.0, self.tile.1], tiles.cut(normalised, index))?;
            let outputs = self.graph.run(&[tile])?;
            blend.add(index, outputs.first().and_then(Plain::as_f32).context("no logits")?);
        }
        Ok(blend.finish())
    }

    /// The mean of the probabilities that the picture turned and mirrored in all eight ways has.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn probabilities_of_eight(&mut self, normalised: &Plane) -> anyhow::Result<Plane> {
        let mut sum = vec![0f32; normalised.values().len()];
        for way in d4::ALL {
            let turned = self.probabilities(&way.apply(normalised))?;
            for (sum, value) in sum.iter_mut().zip(way.undo(&turned).values()) {
                *sum += value / d4::ALL.len() as f32;
            }
        }
        Plane::new(normalised.height(), normalised.width(), sum).context("the picture has no pixels")
    }

    /// Foreground and background, as the package's table says.
    #[must_use]
    pub fn mask(&self, probabilities: &Plane) -> Mask {
        self.mask_at(probabilities, self.table.threshold)
    }

    /// Foreground and background by another threshold.
    fn mask_at(&self, probabilities: &Plane, threshold: f64) -> Mask {
        Mask::of(probabilities, threshold as f32).without_specks(self.table.smallest)
    }
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let nuclei = Nuclei::read(data)?;
    let test: Vec<&Nucleus> = nuclei.part(Part::Test).take(settings.limit.unwrap_or(usize::MAX)).collect();
    let mut segmenter = Segmenter::new(package, runtime)?;
    let (mut ours, mut eight) = (Agreement::default(), Agreement::default());
    let mut best = Overlap::default();
    for nucleus in &test {
        let picture = segmenter.normalise(&nucleus.image);
        let probabilities = segmenter.probabilities(&picture)?;
        ours.add(&segmenter.mask(&probabilities), nucleus);
        let masks = (1..20).map(|part| segmenter.mask_at(&probabilities, f64::from(part) / 20.0));
        best.add_best(masks.chain([segmenter.mask(&probabilities)]), &nucleus.mask);
        let probabilities = segmenter.probabilities_of_eight(&picture)?;
        eight.add(&segmenter.mask(&probabilities), nucleus);
    }

    // The baselines have nothing to choose: they learn from the validation part too.
    let rest: Vec<&Nucleus> = nuclei.all.iter().filter(|n| n.part != Part::Test).collect();
    let ridge = pixel_ridge::PixelRidge::fit(&rest);
    let (mut otsu, mut pixels, mut truth) =
        (Agreement::default(), Agreement::default(), Agreement::default());
    for nucleus in &test {
        otsu.add(&otsu::segment(&nucleus.image).without_specks(otsu::SMALLEST), nucleus);
        pixels.add(&ridge.segment(&nucleus.image).without_specks(otsu::SMALLEST), nucleus);
        truth.add(&nucleus.mask, nucleus);
    }
    let figure = |name: &str, of: fn(&Agreement) -> f64| {
        Figure::new(name, of(&ours)).beside(&[("otsu", of(&otsu)), ("pixel_ridge", of(&pixels))])
    };
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Data Science Bowl 2018, {} of the 334 dark 256x256 images (the split of the baselines), each normalised, tiled and thresholded as served",
            test.len()
        ),
        figures: vec![
            figure("iou", |a| a.overlap.iou()).levels(Bound::AtLeast(0.88), Bound::AtLeast(0.915)),
            figure("dice", |a| a.overlap.dice()),
            figure("pooled_iou", |a| a.overlap.pooled_iou()),
            figure("worst_5_percent_iou", |a| a.overlap.iou_quantile(0.05)),
            figure("boundary_f1", Agreement::boundary_f1),
            figure("count_error", Agreement::count_error)
                .beside(&[("pieces_of_the_true_mask", truth.count_error())]),
            Figure::new("iou_of_eight", eight.overlap.iou()),
            Figure::new("dice_of_eight", eight.overlap.dice()),
            Figure::new("iou_at_best_thresholds", best.iou()),
        ],
        notes: vec![
            "iou and dice: means of the images'; pooled_iou: of all pixels together; worst_5_percent_iou: what 5 % of the images are below".into(),
            format!("boundary_f1: borders that lie within {} pixels of each other agree", agreement::TOLERANCE),
            "count_error: mean of |pieces - nuclei| / nuclei; nuclei that touch are one piece of the true mask too".into(),
            "of_eight: probabilities averaged over the picture turned and mirrored in all eight ways; the service does not do it".into(),
            "at_best_thresholds: each picture at the one of 19 thresholds and the package's own that is best for it, which nobody can know beforehand: a bound on what another choice of thresholds could reach, not a result".into(),
            "pixel_ridge: ridge regression on 600 random features of 25 filters, fitted on the 267 other images".into(),
        ],
    })
}
