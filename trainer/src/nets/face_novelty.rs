//! Says how far a picture is from an aligned crop of a face: the log odds that it is none.

use serde::{Deserialize, Serialize};

use super::face_trunk::{FaceTrunk, FaceTrunkConfig, face_input};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`FaceNovelty`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceNoveltyConfig {
    /// From pixels to features.
    pub trunk: FaceTrunkConfig,
}

/// The network.
pub struct FaceNovelty {
    trunk: FaceTrunk,
    score: Linear,
}

impl FaceNovelty {
    /// With fresh parameters in `store`, named `novelty.…`.
    pub fn new(store: &mut Store, config: &FaceNoveltyConfig) -> Self {
        Self {
            trunk: FaceTrunk::new(store, "novelty.trunk", &config.trunk),
            score: Linear::new(store, "novelty.score", config.trunk.features, 1),
        }
    }

    /// `image` `[batch, 3, 64, 64]` in [0, 1] to the natural logarithm of the odds that it is no aligned
    /// face, `[batch]`.
    pub fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let features = self.trunk.forward(ops, image);
        let score = ops.linear(&features, &self.score);
        ops.reshape_rows(&score, &[])
    }

    /// The graph that a package offers it as.
    pub(crate) fn plan() -> GraphPlan {
        GraphPlan {
            name: "novelty",
            inputs: vec![face_input()],
            outputs: vec![("score", None)],
            state: Vec::new(),
        }
    }
}

impl Graphs for FaceNovelty {
    fn plans(&self) -> Vec<GraphPlan> {
        vec![Self::plan()]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0])]
    }
}
