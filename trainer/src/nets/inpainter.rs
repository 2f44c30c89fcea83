//! A convolutional network that fills holes in images: given what is known and where nothing is, it predicts
//! the pixels of the hole from all of the rest (Pathak et al. 2016).

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::residual::Block;
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Conv2d;
use crate::ops::Ops;
use crate::store::Store;

/// Size of an [`Inpainter`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InpainterConfig {
    /// Image height and width, a multiple of 4.
    pub size: usize,
    /// Channels at half the image's size; twice as many in the bottleneck.
    pub width: usize,
    /// Residual blocks before and after the bottleneck.
    pub outer_blocks: usize,
    /// Residual blocks in the bottleneck: enough that every pixel of the hole is told of every known one.
    pub inner_blocks: usize,
}

/// The network.
pub struct Inpainter {
    size: usize,
    enter: Conv2d,
    before: Vec<Block>,
    down: Conv2d,
    bottom: Vec<Block>,
    up: Conv2d,
    after: Vec<Block>,
    leave: Conv2d,
}

impl Inpainter {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &InpainterConfig) -> Self {
        let w = config.width;
        Self {
            size: config.size,
            enter: Conv2d::new(store, "enter", 8, w, 3, 1, 1.0),
            before: Block::stack(store, "before", config.outer_blocks, w),
            down: Conv2d::new(store, "down", w, 2 * w, 3, 2, 1.0),
            bottom: Block::stack(store, "bottom", config.inner_blocks, 2 * w),
            up: Conv2d::new(store, "up", 2 * w, 4 * w, 1, 1, 1.0),
            after: Block::stack(store, "after", config.outer_blocks, w),
            leave: Conv2d::new(store, "leave", w, 4, 3, 1, 0.1),
        }
    }

    /// Predicts all pixels of `image` `[batch, 1, size, size]` in [0, 1], of which those are not looked at
    /// where `mask`, of the same shape, is 1 (and 0 elsewhere): `[batch, 1, size, size]` in [0, 1].
    pub fn predict<O: Ops>(&self, ops: &mut O, image: &O::Tensor, mask: &O::Tensor) -> O::Tensor {
        let known = ops.affine(mask, -1.0, 1.0);
        // The hole is as grey as black and white are far: 0, once pixels lie in [-1, 1].
        let seen = ops.affine(image, 2.0, -1.0);
        let seen = ops.mul(&seen, &known);
        let both = ops.concat(&[&seen, mask], 1);
        let x = ops.pixel_unshuffle(&both, 2);
        let x = ops.conv2d(&x, &self.enter);
        let mut x = ops.relu(&x);
        for block in &self.before {
            x = block.forward(ops, &x);
        }
        let deep = ops.conv2d(&x, &self.down);
        let mut deep = ops.relu(&deep);
        for block in &self.bottom {
            deep = block.forward(ops, &deep);
        }
        let deep = ops.conv2d(&deep, &self.up);
        let deep = ops.pixel_shuffle(&deep, 2);
        let mut x = ops.add(&x, &deep);
        for block in &self.after {
            x = block.forward(ops, &x);
        }
        let logits = ops.conv2d(&x, &self.leave);
        let logits = ops.pixel_shuffle(&logits, 2);
        ops.sigmoid(&logits)
    }

    /// `image` with its hole filled and the rest as it was: the mean of what is predicted from the image and
    /// from its mirror image.
    fn fill<O: Ops>(&self, ops: &mut O, image: &O::Tensor, mask: &O::Tensor) -> O::Tensor {
        let one = self.predict(ops, image, mask);
        let (turned, turned_mask) = (ops.mirror(image), ops.mirror(mask));
        let other = self.predict(ops, &turned, &turned_mask);
        let other = ops.mirror(&other);
        let sum = ops.add(&one, &other);
        let guess = ops.affine(&sum, 0.5, 0.0);
        let known = ops.affine(mask, -1.0, 1.0);
        let kept = ops.mul(image, &known);
        let filled = ops.mul(&guess, mask);
        ops.add(&kept, &filled)
    }
}

impl Graphs for Inpainter {
    /// `inpainter` fills the hole of an image and leaves the rest as it is.
    fn plans(&self) -> Vec<GraphPlan> {
        let tensor = |name| {
            let shape = [Dim::from(Dim::BATCH), Dim::Fixed(1), Dim::Fixed(self.size), Dim::Fixed(self.size)];
            TensorSpec::new(name, Dtype::F32, shape).with_range(0.0, 1.0)
        };
        vec![GraphPlan {
            name: "inpainter",
            inputs: vec![tensor("image"), tensor("mask")],
            outputs: vec![("filled", Some([0.0, 1.0]))],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.fill(ops, &inputs[0], &inputs[1])]
    }
}
