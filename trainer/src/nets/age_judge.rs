//! Says how old a face looks: a distribution over ages and its mean, as DEX (Rothe, Timofte and Van Gool
//! 2018).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::face_trunk::{FaceTrunk, FaceTrunkConfig, face_input};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::{Init, Store};

/// The ages that probabilities are given to: this many, from 0 on, [`STEP`] years apart.
const AGES: usize = 41;
const STEP: f32 = 2.5;

/// Size of an [`AgeJudge`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgeJudgeConfig {
    /// From pixels to features.
    pub trunk: FaceTrunkConfig,
}

/// The network.
pub struct AgeJudge {
    trunk: FaceTrunk,
    head: Linear,
    mean: Linear,
}

impl AgeJudge {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &AgeJudgeConfig) -> Self {
        let mean = Linear {
            name: "mean".to_owned(),
            weight: store.buffer("mean.weight", &[1, AGES], Init::Constant(0.0)),
            bias: store.buffer("mean.bias", &[1], Init::Constant(0.0)),
        };
        mean.weight.shallow_clone().copy_(&ages(mean.weight.device()).unsqueeze(0));
        Self {
            trunk: FaceTrunk::new(store, "trunk", &config.trunk),
            head: Linear::new(store, "head", config.trunk.features, AGES),
            mean,
        }
    }

    /// Logits of the ages, `[batch, 41]`, of `image` `[batch, 3, 64, 64]` in [0, 1].
    pub fn logits<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let features = self.trunk.forward(ops, image);
        ops.linear(&features, &self.head)
    }

    /// The mean age in years, f32 `[batch]`, that logits stand for.
    pub fn expected(logits: &Tensor) -> Tensor {
        logits.softmax(-1, Kind::Float).matmul(&ages(logits.device()))
    }

    /// How far logits are from saying `age` (f32 `[batch]`): cross-entropy in nats against a bell around it,
    /// the wider the older, since nobody sees whether somebody is 60 or 64.
    pub fn surprise(logits: &Tensor, age: &Tensor) -> Tensor {
        let age = age.unsqueeze(1);
        let width = &age * 0.06 + 1.5;
        let bell = (-((ages(logits.device()) - &age) / width).square() * 0.5).softmax(-1, Kind::Float);
        -(bell * logits.log_softmax(-1, Kind::Float)).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
    }
}

fn ages(device: tch::Device) -> Tensor {
    Tensor::arange(AGES as i64, (Kind::Float, device)) * f64::from(STEP)
}

impl Graphs for AgeJudge {
    /// `judge` gives the mean age in years, `[batch]`.
    fn plans(&self) -> Vec<GraphPlan> {
        vec![GraphPlan {
            name: "judge",
            inputs: vec![face_input()],
            outputs: vec![("age", Some([0.0, f64::from(STEP) * (AGES - 1) as f64]))],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let logits = self.logits(ops, &inputs[0]);
        let chances = ops.softmax(&logits);
        let age = ops.linear(&chances, &self.mean);
        vec![ops.reshape_rows(&age, &[])]
    }
}
