//! What the networks that look at faces have in common: from pixels to features, in two architectures that
//! are told apart on purpose. Who is trained against one is judged by the other.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Height and width of the faces that these networks take.
pub const FACE: usize = 64;

/// How a trunk is built.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Residual blocks (He et al. 2016) between strided convolutions of the pixels, and means over the last
    /// map: knows what there is, less where.
    Residual,
    /// Plain convolutions of 2 x 2 patches and a fully connected layer over the last map: knows where.
    Plain,
}

/// Size of a [`FaceTrunk`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceTrunkConfig {
    /// How it is built.
    pub architecture: Architecture,
    /// Channels at half the face's size; more in the smaller maps.
    pub width: usize,
    /// Features that come out.
    pub features: usize,
}

impl FaceTrunkConfig {
    pub(crate) fn validate(&self, at: &str) -> Result<(), String> {
        if self.width == 0 || self.features == 0 {
            return Err(format!("{at}.width and {at}.features must be at least 1"));
        }
        Ok(())
    }
}

/// The network: `[batch, 3, 64, 64]` in [0, 1] to `[batch, features]`, rectified.
pub struct FaceTrunk {
    layers: Vec<Layer>,
    pooled: bool,
    last: Linear,
}

enum Layer {
    Unshuffle,
    Conv(Conv2d),
    Residual(Conv2d, Conv2d),
}

/// Height and width of the last map.
const LAST: usize = 4;

impl FaceTrunk {
    /// With fresh parameters in `store`, named `PREFIX.…`.
    pub fn new(store: &mut Store, prefix: &str, config: &FaceTrunkConfig) -> Self {
        let w = config.width;
        let mut count = 0;
        let mut conv = |store: &mut Store, inputs, outputs, stride, gain| {
            count += 1;
            Conv2d::new(store, &format!("{prefix}.conv{count}"), inputs, outputs, 3, stride, gain)
        };
        let mut layers = Vec::new();
        let (pooled, flat) = match config.architecture {
            Architecture::Residual => {
                for (inputs, outputs) in [(3, w), (w, 2 * w), (2 * w, 3 * w), (3 * w, 4 * w)] {
                    layers.push(Layer::Conv(conv(store, inputs, outputs, 2, 1.0)));
                    if inputs > 3 {
                        let one = conv(store, outputs, outputs, 1, 1.0);
                        // Blocks start near the identity.
                        layers.push(Layer::Residual(one, conv(store, outputs, outputs, 1, 0.3)));
                    }
                }
                (true, 4 * w)
            }
            Architecture::Plain => {
                layers.push(Layer::Unshuffle);
                for (inputs, outputs, stride) in [
                    (12, w, 1),
                    (w, 2 * w, 2),
                    (2 * w, 2 * w, 1),
                    (2 * w, 4 * w, 2),
                    (4 * w, 4 * w, 1),
                    (4 * w, 4 * w, 2),
                ] {
                    layers.push(Layer::Conv(conv(store, inputs, outputs, stride, 1.0)));
                }
                (false, 4 * w * LAST * LAST)
            }
        };
        let last = Linear::new(store, &format!("{prefix}.last"), flat, config.features);
        Self { layers, pooled, last }
    }

    /// The features of `image` `[batch, 3, 64, 64]` in [0, 1].
    pub fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let mut x = ops.affine(image, 2.0, -1.0);
        for layer in &self.layers {
            x = match layer {
                Layer::Unshuffle => ops.pixel_unshuffle(&x, 2),
                Layer::Conv(conv) => {
                    let y = ops.conv2d(&x, conv);
                    ops.relu(&y)
                }
                Layer::Residual(one, two) => {
                    let y = ops.conv2d(&x, one);
                    let y = ops.relu(&y);
                    let y = ops.conv2d(&y, two);
                    let y = ops.add(&x, &y);
                    ops.relu(&y)
                }
            };
        }
        let flat = if self.pooled {
            ops.mean_pixels(&x)
        } else {
            let channels = self.last.weight.size()[1] as usize;
            ops.reshape_rows(&x, &[channels])
        };
        let features = ops.linear(&flat, &self.last);
        ops.relu(&features)
    }
}

/// What all graphs over faces take.
pub(crate) fn face_input() -> TensorSpec {
    let shape = [Dim::from(Dim::BATCH), Dim::Fixed(3), Dim::Fixed(FACE), Dim::Fixed(FACE)];
    TensorSpec::new("image", Dtype::F32, shape).with_range(0.0, 1.0)
}
