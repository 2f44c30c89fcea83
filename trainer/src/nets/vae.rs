//! A variational autoencoder (Kingma and Welling 2014), with one of two bodies: gated fully connected layers,
//! after the network that Tomczak and Welling (2018) use as their reference (two layers of gated units on either
//! side); or convolutions, as those of the [`Autoencoder`](super::autoencoder::Autoencoder), with gated layers between
//! them and the code: what an image is as a whole is no matter of neighbouring pixels.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::image_decoder::ImageDecoder;
use super::image_encoder::{ImageEncoder, ImageEncoderConfig};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Body and size of a [`Vae`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "body", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VaeConfig {
    /// Gated fully connected layers.
    Gated {
        /// Image height and width in pixels.
        size: usize,
        /// Units in each hidden layer.
        hidden: usize,
        /// Numbers in a code.
        code: usize,
    },
    /// Convolutions.
    Convolutional {
        /// The way from image to code.
        encoder: ImageEncoderConfig,
        /// The way back: channels at half the image's size, even; four times as many at a quarter.
        decoder_width: usize,
        /// Gated units in each hidden layer between convolutions and code.
        hidden: usize,
    },
}

impl VaeConfig {
    /// Image height and width in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Gated { size, .. } => *size,
            Self::Convolutional { encoder, .. } => encoder.size,
        }
    }

    /// Numbers in a code.
    #[must_use]
    pub fn code(&self) -> usize {
        match self {
            Self::Gated { code, .. } => *code,
            Self::Convolutional { encoder, .. } => encoder.code,
        }
    }

    /// Says which field is out of range.
    pub(crate) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Convolutional { hidden: 0, .. } => Err("family.network.hidden must be at least 1".into()),
            Self::Convolutional { encoder, decoder_width, .. } => {
                encoder.validate()?;
                ImageDecoder::validate(*decoder_width)
            }
            Self::Gated { size: 28, hidden: 1.., code: 1.. } => Ok(()),
            Self::Gated { size: 28, .. } => {
                Err("family.network.hidden and family.network.code must be at least 1".into())
            }
            Self::Gated { .. } => Err("family.network.size must be 28, the size of the data's images".into()),
        }
    }
}

/// The log-variance is kept within these bounds, so that no code collapses to a point or explodes.
pub(super) const LOG_VARIANCE: (f32, f32) = (-8.0, 4.0);

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

/// What lies between image and code.
enum Body {
    Gated {
        encoder: [Gated; 2],
        mean: Linear,
        log_variance: Linear,
        decoder: [Gated; 2],
        pixels: Linear,
    },
    Convolutional {
        encoder: ImageEncoder,
        understood: Gated,
        mean: Linear,
        log_variance: Linear,
        planned: [Gated; 2],
        decoder: Box<ImageDecoder>,
    },
}

/// The network.
pub struct Vae {
    config: VaeConfig,
    body: Body,
}

impl Vae {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &VaeConfig) -> Self {
        let body = match config {
            VaeConfig::Gated { size, hidden, code } => {
                let (pixels, h) = (size * size, *hidden);
                Body::Gated {
                    encoder: [
                        Gated::new(store, "encoder.0", pixels, h),
                        Gated::new(store, "encoder.1", h, h),
                    ],
                    mean: Linear::new(store, "mean", h, *code),
                    log_variance: Linear::new(store, "log_variance", h, *code),
                    decoder: [Gated::new(store, "decoder.0", *code, h), Gated::new(store, "decoder.1", h, h)],
                    pixels: Linear::new(store, "pixels", h, pixels),
                }
            }
            VaeConfig::Convolutional { encoder, decoder_width, hidden } => {
                let (code, side, h) = (encoder.code, encoder.side(), *hidden);
                let seen = ImageEncoderConfig { code: h, ..encoder.clone() };
                Body::Convolutional {
                    encoder: ImageEncoder::new(store, "encoder.", &seen),
                    understood: Gated::new(store, "understood", h, h),
                    mean: Linear::new(store, "mean", h, code),
                    log_variance: Linear::new(store, "log_variance", h, code),
                    planned: [Gated::new(store, "planned.0", code, h), Gated::new(store, "planned.1", h, h)],
                    decoder: Box::new(ImageDecoder::new(store, h, side, *decoder_width)),
                }
            }
        };
        Self { config: config.clone(), body }
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to mean and log-variance of its code, `[batch, code]`.
    pub fn encode<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let (mean, log_variance) = match &self.body {
            Body::Gated { encoder, mean, log_variance, .. } => {
                let mut x = ops.reshape_rows(image, &[self.config.size() * self.config.size()]);
                for layer in encoder {
                    x = layer.forward(ops, &x);
                }
                (ops.linear(&x, mean), ops.linear(&x, log_variance))
            }
            Body::Convolutional { encoder, understood, mean, log_variance, .. } => {
                let x = encoder.forward(ops, image).code;
                let x = understood.forward(ops, &x);
                (ops.linear(&x, mean), ops.linear(&x, log_variance))
            }
        };
        (mean, ops.clamp(&log_variance, LOG_VARIANCE.0, LOG_VARIANCE.1))
    }

    /// `code` `[batch, code]` to logits of the pixels, `[batch, 1, size, size]`: a pixel's expected value is
    /// the logit's sigmoid.
    pub fn decode<O: Ops>(&self, ops: &mut O, code: &O::Tensor) -> O::Tensor {
        match &self.body {
            Body::Gated { decoder: [first, second], pixels, .. } => {
                let x = first.forward(ops, code);
                let x = second.forward(ops, &x);
                let x = ops.linear(&x, pixels);
                ops.reshape_rows(&x, &[1, self.config.size(), self.config.size()])
            }
            Body::Convolutional { planned: [first, second], decoder, .. } => {
                let x = first.forward(ops, code);
                let x = second.forward(ops, &x);
                decoder.forward(ops, &x)
            }
        }
    }
}

impl Graphs for Vae {
    /// `encoder` gives the distribution of an image's code, `decoder` the expected pixels of a code.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let size = self.config.size();
        let image = [batch(), Dim::Fixed(1), Dim::Fixed(size), Dim::Fixed(size)];
        let code = [batch(), Dim::Fixed(self.config.code())];
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
