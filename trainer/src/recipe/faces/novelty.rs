//! Training a [`FaceNovelty`] to tell aligned faces from strangers.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::strangers::strangers;
use super::{FaceFamily, Pupils};
use crate::augment::Augmentation;
use crate::data::faces::Batch;
use crate::graphs::Exportable;
use crate::nets::face_novelty::{FaceNovelty, FaceNoveltyConfig};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::Loss;
use crate::store::Store;

/// The part of real faces that a limit may refuse. Under the half per cent that is promised, since the limit
/// is set on few faces.
const REFUSED: f64 = 0.0025;

/// `[family]` with `kind = "face-novelty"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceNoveltyRecipeConfig {
    /// The faces that it learns from.
    pub pupils: Pupils,
    /// How faces may be changed and still be aligned ones.
    pub augmentation: Augmentation,
    /// Size of the network.
    pub network: FaceNoveltyConfig,
}

impl FaceNoveltyRecipeConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        self.augmentation.validate("family.augmentation")?;
        self.network.trunk.validate("family.network.trunk")
    }
}

/// The network and how it is trained.
pub(in crate::recipe) struct FaceNoveltyFamily {
    network: FaceNovelty,
    augmentation: Augmentation,
}

impl FaceNoveltyFamily {
    pub(in crate::recipe) fn new(config: &FaceNoveltyRecipeConfig, store: &mut Store) -> Self {
        Self { network: FaceNovelty::new(store, &config.network), augmentation: config.augmentation.clone() }
    }
}

/// The score above which a picture is refused, from the scores of faces that were not trained on, f32 `[n]`:
/// so that few of such faces are refused.
pub(super) fn limit(scores: &Tensor) -> f64 {
    scores.to_kind(Kind::Double).quantile_scalar(1.0 - REFUSED, 0, false, "linear").double_value(&[])
}

impl FaceFamily for FaceNoveltyFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, _step: u64, _turn: usize) -> Loss {
        let known = self.augmentation.apply(&faces.images);
        let strange = strangers(&faces.images);
        let scores = self.network.forward(ops, &Tensor::cat(&[known, strange], 0)).to_kind(Kind::Float);
        let n = faces.images.size()[0];
        let truth = Tensor::arange(2 * n, (Kind::Int64, scores.device())).ge(n).to_kind(Kind::Float);
        let total =
            scores.binary_cross_entropy_with_logits::<Tensor>(&truth, None, None, tch::Reduction::Mean);
        Loss { total, parts: Vec::new() }
    }

    /// The part of strangers that is refused at the limit that these faces give.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let score = |images: &Tensor| self.network.forward(&mut Eager::exact(), images);
        let limit = limit(&score(&faces.images));
        let strange = score(&strangers(&faces.images));
        let refused = strange.gt(limit).to_kind(Kind::Double).mean(Kind::Double);
        vec![("refused", refused.double_value(&[])), ("limit", limit)]
    }

    /// Faces from the most usual to the strangest, and strangers in the same order.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        for images in [faces.images.shallow_clone(), strangers(&faces.images)] {
            let order = self.network.forward(&mut Eager::exact(), &images).argsort(0, false);
            grid.row(&images.index_select(0, &order));
        }
    }
}
