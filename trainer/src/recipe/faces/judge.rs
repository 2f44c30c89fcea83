//! Training an [`AgeJudge`] on one half of the faces.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{FaceFamily, Pupils};
use crate::augment::Augmentation;
use crate::data::faces::Batch;
use crate::graphs::Exportable;
use crate::nets::age_judge::{AgeJudge, AgeJudgeConfig};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::Loss;
use crate::store::Store;

/// `[family]` with `kind = "age-judge"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgeJudgeRecipeConfig {
    /// The faces that it learns from.
    pub pupils: Pupils,
    /// Weight of the mean age's distance in years, beside the cross-entropy in nats.
    pub distance: f64,
    /// How faces are changed in training.
    pub augmentation: Augmentation,
    /// Size of the network.
    pub network: AgeJudgeConfig,
}

impl AgeJudgeRecipeConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        if !(0.0..=100.0).contains(&self.distance) {
            return Err(format!("family.distance is {}, it must lie in [0, 100]", self.distance));
        }
        self.augmentation.validate("family.augmentation")?;
        self.network.trunk.validate("family.network.trunk")
    }
}

/// The network and how it is trained.
pub(in crate::recipe) struct AgeJudgeFamily {
    network: AgeJudge,
    distance: f64,
    augmentation: Augmentation,
}

impl AgeJudgeFamily {
    pub(in crate::recipe) fn new(config: &AgeJudgeRecipeConfig, store: &mut Store) -> Self {
        Self {
            network: AgeJudge::new(store, &config.network),
            distance: config.distance,
            augmentation: config.augmentation.clone(),
        }
    }

    fn judge(&self, images: &Tensor) -> Tensor {
        AgeJudge::expected(&self.network.logits(&mut Eager::exact(), images))
    }
}

impl FaceFamily for AgeJudgeFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, _step: u64, _turn: usize) -> Loss {
        let images = self.augmentation.apply(&faces.images);
        let logits = self.network.logits(ops, &images).to_kind(Kind::Float);
        let surprise = AgeJudge::surprise(&logits, &faces.ages).mean(Kind::Float);
        let years = (AgeJudge::expected(&logits) - &faces.ages).abs().mean(Kind::Float);
        Loss { total: surprise + &years * self.distance, parts: vec![("years", years)] }
    }

    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let judged = self.judge(&faces.images);
        let error = (judged - &faces.ages).abs().mean(Kind::Double);
        vec![("years", error.double_value(&[]))]
    }

    /// The faces as they are, then in the order of their judged ages.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        grid.row(&faces.images);
        let order = self.judge(&faces.images).argsort(0, false);
        grid.row(&faces.images.index_select(0, &order));
    }
}
