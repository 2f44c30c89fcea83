//! A variational autoencoder (Kingma and Welling 2014) of gated fully connected layers, after the network
//! that Tomczak and Welling (2018) use as their reference: two layers of gated units on either side.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`Vae`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// Image height and width in pixels.
    pub size: usize,
    /// Units in each hidden layer.
    pub hidden: usize,
    /// Numbers in a code.
    pub code: usize,
}

/// The log-variance is kept within these bounds, so that no code collapses to a point or explodes.
const LOG_VARIANCE: (f32, f32) = (-8.0, 4.0);

/// A fully connected layer whose every unit has a gate: `(A x + a) * sigmoid(B x + b)`.
struct Gated {
    value: Linear,
    gate: Linear,
}

impl Gated {
    fn new(store: &mut Store, name: &str, inputs: usize, outputs: usize) -> Self {
        Self {
            value: Linear::new(store, &format!("{name}.value"), inputs, outputs),
            gate: Linear::new(store, &format!("{name}.gate"), inputs, outputs),
        }
    }

    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Tensor) -> O::Tensor {
        let value = ops.linear(x, &self.value);
        let gate = ops.linear(x, &self.gate);
        let gate = ops.sigmoid(&gate);
        ops.mul(&value, &gate)
    }
}

/// The network.
pub struct Vae {
    config: VaeConfig,
    encoder: [Gated; 2],
    mean: Linear,
    log_variance: Linear,
    decoder: [Gated; 2],
    pixels: Linear,
}

impl Vae {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &VaeConfig) -> Self {
        let pixels = config.size * config.size;
        let h = config.hidden;
        Self {
            config: config.clone(),
            encoder: [Gated::new(store, "encoder.0", pixels, h), Gated::new(store, "encoder.1", h, h)],
            mean: Linear::new(store, "mean", h, config.code),
            log_variance: Linear::new(store, "log_variance", h, config.code),
            decoder: [Gated::new(store, "decoder.0", config.code, h), Gated::new(store, "decoder.1", h, h)],
            pixels: Linear::new(store, "pixels", h, pixels),
        }
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to mean and log-variance of its code, `[batch, code]`.
    pub fn encode<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let x = ops.reshape_rows(image, &[self.config.size * self.config.size]);
        let x = self.encoder[0].forward(ops, &x);
        let x = self.encoder[1].forward(ops, &x);
        let mean = ops.linear(&x, &self.mean);
        let log_variance = ops.linear(&x, &self.log_variance);
        (mean, ops.clamp(&log_variance, LOG_VARIANCE.0, LOG_VARIANCE.1))
    }

    /// `code` `[batch, code]` to logits of the pixels, `[batch, 1, size, size]`: a pixel's expected value is
    /// the logit's sigmoid.
    pub fn decode<O: Ops>(&self, ops: &mut O, code: &O::Tensor) -> O::Tensor {
        let x = self.decoder[0].forward(ops, code);
        let x = self.decoder[1].forward(ops, &x);
        let x = ops.linear(&x, &self.pixels);
        ops.reshape_rows(&x, &[1, self.config.size, self.config.size])
    }
}

impl Graphs for Vae {
    /// `encoder` gives the distribution of an image's code, `decoder` the expected pixels of a code.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let size = self.config.size;
        let image = [batch(), Dim::Fixed(1), Dim::Fixed(size), Dim::Fixed(size)];
        let code = [batch(), Dim::Fixed(self.config.code)];
        let log_variance = [f64::from(LOG_VARIANCE.0), f64::from(LOG_VARIANCE.1)];
        vec![
            GraphPlan {
                name: "encoder",
                inputs: vec![TensorSpec::new("image", Dtype::F32, image).with_range(0.0, 1.0)],
                outputs: vec![("mean", None), ("log_variance", Some(log_variance))],
                state: Vec::new(),
            },
            GraphPlan {
                name: "decoder",
                inputs: vec![TensorSpec::new("code", Dtype::F32, code)],
                outputs: vec![("image", Some([0.0, 1.0]))],
                state: Vec::new(),
            },
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "encoder" {
            let (mean, log_variance) = self.encode(ops, &inputs[0]);
            vec![mean, log_variance]
        } else {
            let logits = self.decode(ops, &inputs[0]);
            vec![ops.sigmoid(&logits)]
        }
    }
}
