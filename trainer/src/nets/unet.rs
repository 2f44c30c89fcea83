//! A U-Net (Ronneberger, Fischer and Brox 2015) of residual blocks without normalisation, which works on a
//! picture folded to half its size and adds the pixels' own detail at the end.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Conv2d;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`UNet`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Height and width of the exported graph's images, a multiple of [`UNetConfig::multiple`].
    pub size: usize,
    /// Channels of each scale, from half the image's size down; each is half as large as the one before.
    pub widths: Vec<usize>,
    /// Residual blocks of each scale, on the way down and on the way up.
    pub blocks: usize,
    /// Channels at the image's own size.
    pub detail: usize,
}

impl UNetConfig {
    /// What an image's height and width must be a multiple of.
    #[must_use]
    pub fn multiple(&self) -> usize {
        1 << self.widths.len()
    }
}

/// Two convolutions that add to what comes in.
struct Block {
    first: Conv2d,
    second: Conv2d,
}

impl Block {
    fn new(store: &mut Store, name: &str, width: usize) -> Self {
        Self {
            first: Conv2d::new(store, &format!("{name}.first"), width, width, 3, 1, 1.0),
            second: Conv2d::new(store, &format!("{name}.second"), width, width, 3, 1, 0.2),
        }
    }

    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Tensor) -> O::Tensor {
        let inner = ops.conv2d(x, &self.first);
        let inner = ops.relu(&inner);
        let inner = ops.conv2d(&inner, &self.second);
        ops.add(x, &inner)
    }
}

/// One scale: in at its size, out at its size.
struct Scale {
    enter: Conv2d,
    down: Vec<Block>,
    /// Only where there is a smaller scale.
    up: Option<Up>,
}

/// The way back from the next smaller scale.
struct Up {
    widen: Conv2d,
    merge: Conv2d,
    blocks: Vec<Block>,
}

/// The network.
pub struct UNet {
    config: UNetConfig,
    scales: Vec<Scale>,
    unfold: Conv2d,
    detail: Conv2d,
    logits: Conv2d,
}

impl UNet {
    /// With fresh parameters in `store`.
    pub fn new(store: &mut Store, config: &UNetConfig) -> Self {
        let (widths, n) = (&config.widths, config.blocks);
        let blocks = |store: &mut Store, name: &str, width: usize| -> Vec<Block> {
            (0..n).map(|i| Block::new(store, &format!("{name}.{i}"), width)).collect()
        };
        let mut scales = Vec::with_capacity(widths.len());
        for (i, &width) in widths.iter().enumerate() {
            let name = format!("scale.{i}");
            let (inputs, stride) = if i == 0 { (4, 1) } else { (widths[i - 1], 2) };
            let enter = Conv2d::new(store, &format!("{name}.enter"), inputs, width, 3, stride, 1.0);
            let down = blocks(store, &format!("{name}.down"), width);
            let up = widths.get(i + 1).map(|&deeper| Up {
                widen: Conv2d::new(store, &format!("{name}.widen"), deeper, 4 * width, 1, 1, 1.0),
                merge: Conv2d::new(store, &format!("{name}.merge"), 2 * width, width, 3, 1, 1.0),
                blocks: blocks(store, &format!("{name}.up"), width),
            });
            scales.push(Scale { enter, down, up });
        }
        let (width, detail) = (widths[0], config.detail);
        Self {
            config: config.clone(),
            scales,
            unfold: Conv2d::new(store, "unfold", width, 4 * detail, 1, 1, 1.0),
            detail: Conv2d::new(store, "detail", detail + 1, detail, 3, 1, 1.0),
            logits: Conv2d::new(store, "logits", detail, 1, 3, 1, 0.5),
        }
    }

    /// Logits of the foreground, `[batch, 1, height, width]`, of `image`, the same shape, normalised to
    /// [0, 1]. Height and width are any multiple of [`UNetConfig::multiple`].
    pub fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let centred = ops.affine(image, 2.0, -1.0);
        let folded = ops.pixel_unshuffle(&centred, 2);
        let x = self.scale(ops, &folded, 0);
        let x = ops.conv2d(&x, &self.unfold);
        let x = ops.pixel_shuffle(&x, 2);
        let x = ops.concat(&[&x, &centred], 1);
        let x = ops.conv2d(&x, &self.detail);
        let x = ops.relu(&x);
        ops.conv2d(&x, &self.logits)
    }

    /// From scale `index` down and back up to it.
    fn scale<O: Ops>(&self, ops: &mut O, x: &O::Tensor, index: usize) -> O::Tensor {
        let scale = &self.scales[index];
        let x = ops.conv2d(x, &scale.enter);
        let mut x = ops.relu(&x);
        for block in &scale.down {
            x = block.forward(ops, &x);
        }
        let Some(up) = &scale.up else { return x };
        let deep = self.scale(ops, &x, index + 1);
        let deep = ops.conv2d(&deep, &up.widen);
        let deep = ops.pixel_shuffle(&deep, 2);
        let both = ops.concat(&[&x, &deep], 1);
        let both = ops.conv2d(&both, &up.merge);
        let mut x = ops.relu(&both);
        for block in &up.blocks {
            x = block.forward(ops, &x);
        }
        x
    }
}

impl Graphs for UNet {
    fn plans(&self) -> Vec<GraphPlan> {
        let size = Dim::Fixed(self.config.size);
        let shape = [Dim::from(Dim::BATCH), Dim::Fixed(1), size.clone(), size];
        vec![GraphPlan {
            name: "segmenter",
            inputs: vec![TensorSpec::new("image", Dtype::F32, shape).with_range(0.0, 1.0)],
            outputs: vec![("logits", None)],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0])]
    }
}
