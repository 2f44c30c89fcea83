//! A convolutional autoencoder (Masci et al. 2011): an image to a short code and back.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::image_decoder::ImageDecoder;
use super::image_encoder::{ImageEncoder, ImageEncoderConfig};
use crate::graphs::{GraphPlan, Graphs};
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
        ImageDecoder::validate(self.decoder_width)
    }
}

/// The network.
pub struct Autoencoder {
    config: AutoencoderConfig,
    encoder: ImageEncoder,
    decoder: ImageDecoder,
}

impl Autoencoder {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &AutoencoderConfig) -> Self {
        let encoder = &config.encoder;
        Self {
            config: config.clone(),
            encoder: ImageEncoder::new(store, "encoder.", encoder),
            decoder: ImageDecoder::new(store, encoder.code, encoder.side(), config.decoder_width),
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
        self.decoder.forward(ops, code)
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
