//! Residual blocks (He et al. 2016) without normalisation.

use crate::layers::Conv2d;
use crate::ops::Ops;
use crate::store::Store;

/// Two convolutions beside the identity: `x + second(relu(first(x)))`.
pub(super) struct Block {
    first: Conv2d,
    second: Conv2d,
}

impl Block {
    /// For images of `width` channels.
    pub(super) fn new(store: &mut Store, name: &str, width: usize) -> Self {
        Self {
            first: Conv2d::new(store, &format!("{name}.first"), width, width, 3, 1, 1.0),
            // Small, so that a deep stack starts close to the identity.
            second: Conv2d::new(store, &format!("{name}.second"), width, width, 3, 1, 0.2),
        }
    }

    /// `count` of them, one after the other, called `NAME.0`, `NAME.1` …
    pub(super) fn stack(store: &mut Store, name: &str, count: usize, width: usize) -> Vec<Self> {
        (0..count).map(|i| Self::new(store, &format!("{name}.{i}"), width)).collect()
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O, x: &O::Tensor) -> O::Tensor {
        let inner = ops.conv2d(x, &self.first);
        let inner = ops.relu(&inner);
        let inner = ops.conv2d(&inner, &self.second);
        ops.add(x, &inner)
    }
}
