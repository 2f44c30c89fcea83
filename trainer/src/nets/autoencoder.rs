//! A convolutional autoencoder (Masci et al. 2011): an image to a short code and back.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Size of an [`Autoencoder`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Image height and width, a multiple of 4.
    pub size: usize,
    /// Channels at half the image's size; twice and four times as many at a quarter.
    pub width: usize,
    /// Numbers in a code.
    pub code: usize,
}

/// The network.
pub struct Autoencoder {
    config: AutoencoderConfig,
    half: Conv2d,
    quarter: Conv2d,
    features: Conv2d,
    code: Linear,
    spread: Linear,
    gather: Conv2d,
    to_half: Conv2d,
    to_whole: Conv2d,
    pixels: Conv2d,
}

/// `x * sigmoid(x)` (Elfwing, Uchibe and Doya 2018).
fn silu<O: Ops>(ops: &mut O, x: &O::Tensor) -> O::Tensor {
    let gate = ops.sigmoid(x);
    ops.mul(x, &gate)
}

impl Autoencoder {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &AutoencoderConfig) -> Self {
        let w = config.width;
        let flat = 4 * w * (config.size / 4) * (config.size / 4);
        Self {
            config: config.clone(),
            half: Conv2d::new(store, "half", 1, w, 3, 2, 1.0),
            quarter: Conv2d::new(store, "quarter", w, 2 * w, 3, 2, 1.0),
            features: Conv2d::new(store, "features", 2 * w, 4 * w, 3, 1, 1.0),
            code: Linear::new(store, "code", flat, config.code),
            spread: Linear::new(store, "spread", config.code, flat),
            gather: Conv2d::new(store, "gather", 4 * w, 2 * w, 3, 1, 1.0),
            to_half: Conv2d::new(store, "to_half", 2 * w, 4 * w, 3, 1, 1.0),
            to_whole: Conv2d::new(store, "to_whole", w, 2 * w, 3, 1, 1.0),
            pixels: Conv2d::new(store, "pixels", w / 2, 1, 3, 1, 0.5),
        }
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to its code, `[batch, code]`.
    pub fn encode<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let mut x = ops.affine(image, 2.0, -1.0);
        for layer in [&self.half, &self.quarter, &self.features] {
            let y = ops.conv2d(&x, layer);
            x = silu(ops, &y);
        }
        let side = self.config.size / 4;
        let flat = ops.reshape_rows(&x, &[4 * self.config.width * side * side]);
        ops.linear(&flat, &self.code)
    }

    /// `code` `[batch, code]` to logits of the pixels, `[batch, 1, size, size]`.
    pub fn decode<O: Ops>(&self, ops: &mut O, code: &O::Tensor) -> O::Tensor {
        let side = self.config.size / 4;
        let x = ops.linear(code, &self.spread);
        let x = silu(ops, &x);
        let x = ops.reshape_rows(&x, &[4 * self.config.width, side, side]);
        let x = ops.conv2d(&x, &self.gather);
        let mut x = silu(ops, &x);
        for layer in [&self.to_half, &self.to_whole] {
            let y = ops.conv2d(&x, layer);
            let y = ops.pixel_shuffle(&y, 2);
            x = silu(ops, &y);
        }
        ops.conv2d(&x, &self.pixels)
    }
}

impl Graphs for Autoencoder {
    /// `encoder` gives an image's code, `decoder` the pixels of a code, in [0, 1].
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let size = self.config.size;
        let image = [batch(), Dim::Fixed(1), Dim::Fixed(size), Dim::Fixed(size)];
        let code = [batch(), Dim::Fixed(self.config.code)];
        vec![
            GraphPlan {
                name: "encoder",
                inputs: vec![TensorSpec::new("image", Dtype::F32, image).with_range(0.0, 1.0)],
                outputs: vec![("code", None)],
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
            vec![self.encode(ops, &inputs[0])]
        } else {
            let logits = self.decode(ops, &inputs[0]);
            vec![ops.sigmoid(&logits)]
        }
    }
}
