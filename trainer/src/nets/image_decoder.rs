//! A short code back to an image: the other half of an autoencoder.

use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// The network. Images are twice as large after each of its two steps.
pub(super) struct ImageDecoder {
    width: usize,
    side: usize,
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

impl ImageDecoder {
    /// With fresh parameters in `store`, for codes of `code` numbers and images whose quarter is `side` pixels:
    /// `width` channels at half the image's size, even, and four times as many at a quarter.
    pub(super) fn new(store: &mut Store, code: usize, side: usize, width: usize) -> Self {
        let w = width;
        Self {
            width,
            side,
            spread: Linear::new(store, "spread", code, 4 * w * side * side),
            gather: Conv2d::new(store, "gather", 4 * w, 2 * w, 3, 1, 1.0),
            to_half: Conv2d::new(store, "to_half", 2 * w, 4 * w, 3, 1, 1.0),
            to_whole: Conv2d::new(store, "to_whole", w, 2 * w, 3, 1, 1.0),
            pixels: Conv2d::new(store, "pixels", w / 2, 1, 3, 1, 0.5),
        }
    }

    /// Says which field is out of range.
    pub(super) fn validate(width: usize) -> Result<(), String> {
        if width < 2 || !width.is_multiple_of(2) {
            return Err("family.network.decoder_width must be even and at least 2".into());
        }
        Ok(())
    }

    /// `code` `[batch, code]` to logits of the pixels, `[batch, 1, size, size]`.
    pub(super) fn forward<O: Ops>(&self, ops: &mut O, code: &O::Tensor) -> O::Tensor {
        let x = ops.linear(code, &self.spread);
        let x = silu(ops, &x);
        let x = ops.reshape_rows(&x, &[4 * self.width, self.side, self.side]);
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
