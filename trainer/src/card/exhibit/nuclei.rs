//! What a segmenter finds.

use std::path::Path;

use atelier_package::Package;
use atelier_transforms::segmentation::overlay;
use tch::Tensor;

use super::{Exhibit, picture};
use crate::data::nuclei::{Nuclei, Part};
use crate::evaluate::segmentation::Segmenter;
use crate::onnx_runtime::OnnxRuntime;
use crate::picture::Grid;

/// Pictures in a row.
const COLUMNS: usize = 6;
/// The greatest height and width of what is shown of each: the middle.
const SHOWN: i64 = 128;

/// Pictures of the test split as the network sees them, the outlines that it draws, and those of the
/// annotators.
pub(super) fn outlined(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let nuclei = Nuclei::read(data)?;
    let mut segmenter = Segmenter::new(package, runtime)?;
    let (mut plain, mut found, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    for nucleus in nuclei.part(Part::Test).take(COLUMNS) {
        let normalised = segmenter.normalise(&nucleus.image);
        let probabilities = segmenter.probabilities(&normalised)?;
        let mask = segmenter.mask(&probabilities);
        let (height, width) = (normalised.height() as i64, normalised.width() as i64);
        let middle = |values: &[f32]| {
            let side = SHOWN.min(height).min(width);
            let whole = Tensor::from_slice(values).reshape([1, -1, height, width]);
            whole.narrow(2, (height - side) / 2, side).narrow(3, (width - side) / 2, side)
        };
        plain.push(middle(normalised.values()));
        found.push(middle(&overlay(&normalised, &mask).concat()));
        truth.push(middle(&overlay(&normalised, &nucleus.mask).concat()));
    }
    let mut grid = Grid::new(plain.len());
    for row in [plain, found, truth] {
        grid.row(&Tensor::cat(&row, 0));
    }
    picture(
        &grid,
        "Parts of pictures of the test split, the outlines that the model draws, and the annotators'",
    )
}
