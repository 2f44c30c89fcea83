//! A residual convolutional encoder: an image to a map of features and a short code.

use serde::{Deserialize, Serialize};

use super::residual::Block;
use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Size of an `ImageEncoder`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEncoderConfig {
    /// Image height and width, a multiple of 4.
    pub size: usize,
    /// Channels at half the image's size; twice as many at a quarter.
    pub width: usize,
    /// Residual blocks at half the image's size.
    pub outer_blocks: usize,
    /// Residual blocks at a quarter.
    pub inner_blocks: usize,
    /// Numbers in a code.
    pub code: usize,
}

impl ImageEncoderConfig {
    /// Height and width of the map of features.
    #[must_use]
    pub fn side(&self) -> usize {
        self.size / 4
    }

    /// Channels of the map of features.
    #[must_use]
    pub fn channels(&self) -> usize {
        2 * self.width
    }

    /// Numbers in `ImageEncoder::features`.
    #[must_use]
    pub fn features(&self) -> usize {
        4 * self.channels() + self.code
    }

    /// Says which field is out of range, for images of 28 x 28.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.size != 28 {
            return Err("family.network.size must be 28, the size of the data's images".into());
        }
        match (self.width, self.code) {
            (0, _) => Err("family.network.width must be at least 1".into()),
            (_, 0) => Err("family.network.code must be at least 1".into()),
            _ => Ok(()),
        }
    }
}

/// The network.
pub(super) struct ImageEncoder {
    config: ImageEncoderConfig,
    enter: Conv2d,
    outer: Vec<Block>,
    down: Conv2d,
    inner: Vec<Block>,
    code: Linear,
}

/// What an image comes to.
pub(super) struct Encoded<T> {
    /// `[batch, channels, side, side]`.
    pub(super) map: T,
    /// `[batch, code]`.
    pub(super) code: T,
}

impl ImageEncoder {
    /// With fresh parameters in `store`, all called `PREFIX…`.
    pub(super) fn new(store: &mut Store, prefix: &str, config: &ImageEncoderConfig) -> Self {
        let (w, side) = (config.width, config.side());
        let name = |part: &str| format!("{prefix}{part}");
        Self {
            config: config.clone(),
            enter: Conv2d::new(store, &name("enter"), 4, w, 3, 1, 1.0),
            outer: Block::stack(store, &name("outer"), config.outer_blocks, w),
            down: Conv2d::new(store, &name("down"), w, 2 * w, 3, 2, 1.0),
            inner: Block::stack(store, &name("inner"), config.inner_blocks, 2 * w),
            code: Linear::new(store, &name("code"), 2 * w * side * side, config.code),
        }
    }

    /// Encodes `image` `[batch, 1, size, size]` in [0, 1].
    pub(super) fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> Encoded<O::Tensor> {
        // Every 2 x 2 pixels become channels: all detail at a quarter of the positions.
        let x = ops.affine(image, 2.0, -1.0);
        let x = ops.pixel_unshuffle(&x, 2);
        let x = ops.conv2d(&x, &self.enter);
        let mut x = ops.relu(&x);
        for block in &self.outer {
            x = block.forward(ops, &x);
        }
        let x = ops.conv2d(&x, &self.down);
        let mut x = ops.relu(&x);
        for block in &self.inner {
            x = block.forward(ops, &x);
        }
        let map = ops.relu(&x);
        let side = self.config.side();
        let flat = ops.reshape_rows(&map, &[self.config.channels() * side * side]);
        let code = ops.linear(&flat, &self.code);
        Encoded { map, code }
    }

    /// What a linear classifier is given, `[batch, features]`: the code, and the map's means over its four
    /// quarters (which overlap where its side is odd).
    pub(super) fn features<O: Ops>(&self, ops: &mut O, encoded: &Encoded<O::Tensor>) -> O::Tensor {
        let side = self.config.side();
        let quarters = ops.average_pool(&encoded.map, side.div_ceil(2), side / 2);
        let quarters = ops.reshape_rows(&quarters, &[4 * self.config.channels()]);
        ops.concat(&[&encoded.code, &quarters], 1)
    }
}
