//! A convolutional autoencoder (Masci et al. 2011): an image to a short code and back.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::image_encoder::{ImageEncoder, ImageEncoderConfig};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Size of an [`Autoencoder`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// The way from image to code.
    pub encoder: ImageEncoderConfig,
    /// The way back: channels at half the image's size, even; four times as many at a quarter.
    pub decoder_width: usize,
}

impl AutoencoderConfig {
    /// Says which field is out of range.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.encoder.validate()?;
        if self.decoder_width < 2 || !self.decoder_width.is_multiple_of(2) {
            return Err("family.network.decoder_width must be even and at least 2".into());
        }
        Ok(())
    }
}

/// The network.
pub struct Autoencoder {
    config: AutoencoderConfig,
    encoder: ImageEncoder,
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
        let (w, side) = (config.decoder_width, config.encoder.side());
        Self {
            config: config.clone(),
            encoder: ImageEncoder::new(store, "encoder.", &config.encoder),
            spread: Linear::new(store, "spread", config.encoder.code, 4 * w * side * side),
            gather: Conv2d::new(store, "gather", 4 * w, 2 * w, 3, 1, 1.0),
            to_half: Conv2d::new(store, "to_half", 2 * w, 4 * w, 3, 1, 1.0),
            to_whole: Conv2d::new(store, "to_whole", w, 2 * w, 3, 1, 1.0),
            pixels: Conv2d::new(store, "pixels", w / 2, 1, 3, 1, 0.5),
        }
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to its code, `[batch, code]`.
    pub fn encode<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        self.encoder.forward(ops, image).code
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to what a linear classifier can tell it by,
    /// `[batch, features]`: the code, and the means of the encoder's last map over its four quarters.
    pub fn features<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let encoded = self.encoder.forward(ops, image);
        self.encoder.features(ops, &encoded)
    }

    /// `code` `[batch, code]` to logits of the pixels, `[batch, 1, size, size]`.
    pub fn decode<O: Ops>(&self, ops: &mut O, code: &O::Tensor) -> O::Tensor {
        let side = self.config.encoder.side();
        let x = ops.linear(code, &self.spread);
        let x = silu(ops, &x);
        let x = ops.reshape_rows(&x, &[4 * self.config.decoder_width, side, side]);
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
    /// `encoder` gives an image's code, `decoder` the pixels of a code, in [0, 1], and `features` what a
    /// linear classifier can tell images by.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let size = self.config.encoder.size;
        let image = [batch(), Dim::Fixed(1), Dim::Fixed(size), Dim::Fixed(size)];
        let image = TensorSpec::new("image", Dtype::F32, image).with_range(0.0, 1.0);
        let code = [batch(), Dim::Fixed(self.config.encoder.code)];
        let plan = |name, input, output| GraphPlan {
            name,
            inputs: vec![input],
            outputs: vec![output],
            state: vec![],
        };
        vec![
            plan("encoder", image.clone(), ("code", None)),
            plan("decoder", TensorSpec::new("code", Dtype::F32, code), ("image", Some([0.0, 1.0]))),
            plan("features", image, ("features", None)),
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        match graph {
            "encoder" => vec![self.encode(ops, &inputs[0])],
            "features" => vec![self.features(ops, &inputs[0])],
            _ => {
                let logits = self.decode(ops, &inputs[0]);
                vec![ops.sigmoid(&logits)]
            }
        }
    }
}
