//! An embedding of faces learned without labels (SimCLR: Chen et al. 2020): two changed copies of one photo
//! lie close, other photos far.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::face_trunk::{FaceTrunk, FaceTrunkConfig, face_input};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`FaceEncoder`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceEncoderConfig {
    /// From pixels to features.
    pub trunk: FaceTrunkConfig,
    /// Numbers in an embedding.
    pub embedding: usize,
}

/// The network.
pub struct FaceEncoder {
    trunk: FaceTrunk,
    embed: Linear,
}

impl FaceEncoder {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &FaceEncoderConfig) -> Self {
        Self {
            trunk: FaceTrunk::new(store, "trunk", &config.trunk),
            embed: Linear::new(store, "embed", config.trunk.features, config.embedding),
        }
    }

    /// `image` `[batch, 3, 64, 64]` in [0, 1] to embeddings, `[batch, embedding]`, of any length: they are
    /// compared by the angle between them.
    pub fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let features = self.trunk.forward(ops, image);
        ops.linear(&features, &self.embed)
    }
}

/// Embeddings, `[n, width]`, at length 1: their products are cosines.
pub fn directions(embeddings: &Tensor) -> Tensor {
    let x = embeddings.to_kind(Kind::Float);
    let length = x.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
    x / (length + 1e-6)
}

impl Graphs for FaceEncoder {
    fn plans(&self) -> Vec<GraphPlan> {
        vec![GraphPlan {
            name: "encoder",
            inputs: vec![face_input()],
            outputs: vec![("embedding", None)],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0])]
    }
}
