//! Codes of faces, and faces of codes: a variational autoencoder (Kingma and Welling 2014) whose decoder knows
//! the age.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::age_code::AGES;
use super::face_decoder::{FaceDecoder, FaceDecoderConfig};
use super::face_trunk::{FaceTrunk, FaceTrunkConfig, face_input};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::store::Store;

/// Names of the decoder's parameters start with this.
pub const DECODER: &str = "vae.decoder";

/// Size of a [`FaceVae`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceVaeConfig {
    /// Size of the encoder.
    pub trunk: FaceTrunkConfig,
    /// Size of the decoder.
    pub decoder: FaceDecoderConfig,
}

impl FaceVaeConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.trunk.validate("family.network.trunk")?;
        self.decoder.validate("family.network.decoder")
    }
}

/// The network.
pub struct FaceVae {
    trunk: FaceTrunk,
    mean: Linear,
    log_variance: Linear,
    /// Faces of codes.
    pub decoder: FaceDecoder,
}

/// Where the codes of faces lie: `[n, latent]` each.
pub struct Posterior {
    /// Means.
    pub mean: Tensor,
    /// Logarithms of variances.
    pub log_variance: Tensor,
}

impl Posterior {
    /// A code for each face.
    pub fn draw(&self) -> Tensor {
        &self.mean + (&self.log_variance * 0.5).exp() * self.mean.randn_like()
    }
}

impl FaceVae {
    /// With fresh parameters in `store`, all named `vae.…`.
    pub fn new(store: &mut Store, config: &FaceVaeConfig) -> Self {
        let (features, latent) = (config.trunk.features, config.decoder.latent);
        Self {
            trunk: FaceTrunk::new(store, "vae.trunk", &config.trunk),
            mean: Linear::new(store, "vae.mean", features, latent),
            log_variance: Linear::new(store, "vae.log_variance", features, latent),
            decoder: FaceDecoder::new(store, DECODER, &config.decoder),
        }
    }

    /// Where the codes of `images` `[n, 3, 64, 64]` in [0, 1] lie; f32.
    pub fn encode(&self, ops: &mut Eager, images: &Tensor) -> Posterior {
        let features = self.trunk.forward(ops, images);
        let mean = ops.linear(&features, &self.mean).to_kind(Kind::Float);
        // Neither infinitely sure nor surer of nothing than standard normal numbers are.
        let log_variance = ops.linear(&features, &self.log_variance).to_kind(Kind::Float).clamp(-10.0, 2.0);
        Posterior { mean, log_variance }
    }
}

impl Graphs for FaceVae {
    /// `encoder` gives the means of codes, `decoder` a face of a code and an age.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let latent = Dim::Fixed(self.decoder.config().latent);
        vec![
            GraphPlan {
                name: "encoder",
                inputs: vec![face_input()],
                outputs: vec![("code", None)],
                state: Vec::new(),
            },
            GraphPlan {
                name: "decoder",
                inputs: vec![
                    TensorSpec::new("code", Dtype::F32, [batch(), latent]),
                    TensorSpec::new("age", Dtype::F32, [batch()]).with_range(AGES[0], AGES[1]),
                ],
                outputs: vec![("image", Some([0.0, 1.0]))],
                state: Vec::new(),
            },
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "encoder" {
            let features = self.trunk.forward(ops, &inputs[0]);
            return vec![ops.linear(&features, &self.mean)];
        }
        vec![self.decoder.forward(ops, &inputs[0], &inputs[1])]
    }
}
