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
    /// Every face is also pushed this far, as an Euclidean distance of all its pixels together, to where the
    /// judge is most surprised (adversarial training, Madry et al. 2018). What pleases such a judge looks like
    /// age to people as well (Engstrom et al. 2019); what pleases another is coloured dots.
    pub pushed: f64,
    /// Size of the network.
    pub network: AgeJudgeConfig,
}

impl AgeJudgeRecipeConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        if !(0.0..=100.0).contains(&self.distance) {
            return Err(format!("family.distance is {}, it must lie in [0, 100]", self.distance));
        }
        if !(0.0..=50.0).contains(&self.pushed) {
            return Err(format!("family.pushed is {}, it must lie in [0, 50]", self.pushed));
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
    pushed: f64,
}

impl AgeJudgeFamily {
    pub(in crate::recipe) fn new(config: &AgeJudgeRecipeConfig, store: &mut Store) -> Self {
        Self {
            network: AgeJudge::new(store, &config.network),
            distance: config.distance,
            augmentation: config.augmentation.clone(),
            pushed: config.pushed,
        }
    }

    /// The faces, pushed from a random place nearby to where the judge is more surprised: one step of gradient
    /// ascent, which is enough where it starts at random (Wong, Rice and Kolter 2020).
    fn push(&self, ops: &mut Eager, images: &Tensor, ages: &Tensor) -> Tensor {
        if self.pushed == 0.0 {
            return images.shallow_clone();
        }
        let length =
            |x: &Tensor| x.square().sum_dim_intlist([1i64, 2, 3].as_slice(), true, Kind::Float).sqrt();
        let one_long = |x: &Tensor| x / (length(x) + 1e-8);
        let start = (images + one_long(&images.randn_like()) * (0.5 * self.pushed)).set_requires_grad(true);
        let logits = self.network.logits(ops, &start).to_kind(Kind::Float);
        let surprise = AgeJudge::surprise(&logits, ages).sum(Kind::Float);
        let uphill = Tensor::run_backward(&[surprise], &[&start], false, false);
        let far = start.detach() + one_long(&uphill[0].to_kind(Kind::Float)) * self.pushed;
        let way = far - images;
        let too_long = (length(&way) / self.pushed).clamp_min(1.0);
        (images + way / too_long).clamp(0.0, 1.0)
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
        let images = self.push(ops, &self.augmentation.apply(&faces.images), &faces.ages);
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
