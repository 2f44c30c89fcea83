//! Makes faces of an age from nothing: random numbers and years to a picture.

use atelier_package::{Dim, Dtype, TensorSpec};

use super::age_code::AGES;
use super::code_flow::{CodeFlow, CodeFlowConfig};
use super::face_decoder::{FaceDecoder, FaceDecoderConfig};
use super::face_vae::DECODER;
use crate::graphs::{GraphPlan, Graphs};
use crate::ops::Ops;
use crate::store::Store;

/// The network: random numbers flow to where codes of faces of the age lie, and a decoder paints the face.
pub struct FaceSampler {
    /// From random numbers to codes.
    pub flow: CodeFlow,
    decoder: FaceDecoder,
}

impl FaceSampler {
    /// With fresh parameters in `store`: `flow.…`, and the decoder's as [`DECODER`] says.
    pub fn new(store: &mut Store, flow: &CodeFlowConfig, decoder: &FaceDecoderConfig) -> Self {
        Self {
            flow: CodeFlow::new(store, "flow", flow, decoder.latent),
            decoder: FaceDecoder::new(store, DECODER, decoder),
        }
    }

    /// Random numbers that a face is made from.
    #[must_use]
    pub fn latent(&self) -> usize {
        self.decoder.config().latent
    }

    /// Faces `[batch, 3, 64, 64]` in [0, 1] of `z` `[batch, latent]`, standard normal, and `age` f32 `[batch]`
    /// in years.
    pub fn forward<O: Ops>(&self, ops: &mut O, z: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        let code = self.flow.forward(ops, z, age);
        self.decoder.forward(ops, &code, age)
    }
}

impl Graphs for FaceSampler {
    /// `generator` makes a face of an age.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        vec![GraphPlan {
            name: "generator",
            inputs: vec![
                TensorSpec::new("z", Dtype::F32, [batch(), Dim::Fixed(self.latent())]),
                TensorSpec::new("age", Dtype::F32, [batch()]).with_range(AGES[0], AGES[1]),
            ],
            outputs: vec![("image", Some([0.0, 1.0]))],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0], &inputs[1])]
    }
}
