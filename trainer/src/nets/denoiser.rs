//! A convolutional denoising autoencoder for any noise level, told or not.
//!
//! The image is folded to a quarter of its size and given a plane with the noise level (FFDNet, Zhang et al.
//! 2018). A bottleneck at a further halved size, residual blocks, and one skip connection predict the noise,
//! which is taken off the input (DnCNN, Zhang et al. 2017).

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::residual::Block;
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Conv2d;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`Denoiser`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DenoiserConfig {
    /// Image height and width, a multiple of 4.
    pub size: usize,
    /// Channels at half the image's size; twice as many in the bottleneck.
    pub width: usize,
    /// Residual blocks before and after the bottleneck.
    pub outer_blocks: usize,
    /// Residual blocks in the bottleneck.
    pub inner_blocks: usize,
}

/// The strongest noise that a request may speak of, and that recipes train for.
pub const MAX_SIGMA: f64 = 0.55;

/// The network.
pub struct Denoiser {
    config: DenoiserConfig,
    enter: Conv2d,
    before: Vec<Block>,
    down: Conv2d,
    bottom: Vec<Block>,
    up: Conv2d,
    after: Vec<Block>,
    leave: Conv2d,
}

impl Denoiser {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &DenoiserConfig) -> Self {
        let w = config.width;
        Self {
            config: config.clone(),
            enter: Conv2d::new(store, "enter", 6, w, 3, 1, 1.0),
            before: Block::stack(store, "before", config.outer_blocks, w),
            down: Conv2d::new(store, "down", w, 2 * w, 3, 2, 1.0),
            bottom: Block::stack(store, "bottom", config.inner_blocks, 2 * w),
            up: Conv2d::new(store, "up", 2 * w, 4 * w, 1, 1, 1.0),
            after: Block::stack(store, "after", config.outer_blocks, w),
            leave: Conv2d::new(store, "leave", w, 4, 3, 1, 0.1),
        }
    }

    /// Denoises `image` `[batch, 1, size, size]` (pixels nominally in [0, 1], not limited to it), with
    /// `sigma` `[batch]`, the noise's standard deviation on that scale, and `known` `[batch]`: 1 where
    /// `sigma` is told, 0 where it is not (`sigma` must be 0 there).
    ///
    /// The result is not limited to [0, 1]; the exported graphs clamp it.
    pub fn forward<O: Ops>(
        &self,
        ops: &mut O,
        image: &O::Tensor,
        sigma: &O::Tensor,
        known: &O::Tensor,
    ) -> O::Tensor {
        let half = self.config.size / 2;
        let folded = ops.pixel_unshuffle(image, 2);
        let sigma = ops.plane(sigma, half, half);
        let known = ops.plane(known, half, half);
        let x = ops.concat(&[&folded, &sigma, &known], 1);
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
        let noise = ops.conv2d(&x, &self.leave);
        let noise = ops.pixel_shuffle(&noise, 2);
        ops.sub(image, &noise)
    }
}

impl Denoiser {
    fn both_ways<O: Ops>(
        &self,
        ops: &mut O,
        image: &O::Tensor,
        sigma: &O::Tensor,
        known: &O::Tensor,
    ) -> O::Tensor {
        let one = self.forward(ops, image, sigma, known);
        let turned = ops.mirror(image);
        let other = self.forward(ops, &turned, sigma, known);
        let other = ops.mirror(&other);
        let sum = ops.add(&one, &other);
        ops.affine(&sum, 0.5, 0.0)
    }
}

impl Graphs for Denoiser {
    /// `denoiser` is told the noise level, `blind` is not. Both give pixels in [0, 1], the mean of what the
    /// network makes of the image and of its mirror image (geometric self-ensemble, Lim et al. 2017).
    fn plans(&self) -> Vec<GraphPlan> {
        let size = self.config.size;
        let shape = [Dim::from(Dim::BATCH), Dim::Fixed(1), Dim::Fixed(size), Dim::Fixed(size)];
        let image = TensorSpec::new("image", Dtype::F32, shape);
        let sigma = TensorSpec::new("sigma", Dtype::F32, [Dim::from(Dim::BATCH)]).with_range(0.0, MAX_SIGMA);
        let plan = |name, inputs| GraphPlan {
            name,
            inputs,
            outputs: vec![("denoised", Some([0.0, 1.0]))],
            state: Vec::new(),
        };
        vec![plan("denoiser", vec![image.clone(), sigma]), plan("blind", vec![image])]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let image = &inputs[0];
        let clean = if graph == "denoiser" {
            let known = ops.fill_rows(image, 1.0);
            self.both_ways(ops, image, &inputs[1], &known)
        } else {
            let unknown = ops.fill_rows(image, 0.0);
            self.both_ways(ops, image, &unknown, &unknown)
        };
        vec![ops.clamp(&clean, 0.0, 1.0)]
    }
}
