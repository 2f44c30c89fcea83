//! The discriminator of a [`dcgan`](super).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::adversarial::critic::{CriticConv2d, Part, Projection, leaky, with_group_deviation};
use crate::layers::Conv2d;
use crate::ops::eager::Eager;
use crate::store::Store;

/// Size and kind of a [`Discriminator`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Channels at 16 x 16; twice as many at 8 x 8, four times as many at 4 x 4.
    pub width: usize,
    /// Whether every weight is divided by its largest singular value.
    pub spectral: bool,
    /// Samples that are compared with each other; 0 judges every sample on its own.
    pub group: usize,
}

/// Tells real canvases from generated ones.
pub struct Discriminator {
    downs: Vec<CriticConv2d>,
    features: CriticConv2d,
    group: i64,
    head: Projection,
}

impl Discriminator {
    /// With fresh parameters in `store`, all named `discriminator.…`.
    pub fn new(store: &mut Store, config: &DiscriminatorConfig, classes: usize) -> Self {
        let w = config.width;
        let widths = [1, w, 2 * w, 4 * w];
        let mut conv = |name: &str, inputs, outputs, size, stride| {
            let name = format!("discriminator.{name}");
            let layer = Conv2d::new(store, &name, inputs, outputs, size, stride, 1.0);
            // Half the size exactly, where an even kernel halves.
            CriticConv2d::new(store, Conv2d { padding: 1, ..layer }, config.spectral)
        };
        let downs = (0..3).map(|i| conv(&format!("down{i}"), widths[i], widths[i + 1], 4, 2)).collect();
        let extra = usize::from(config.group > 0);
        let features = conv("features", 4 * w + extra, 4 * w, 3, 1);
        let head = Projection::new(store, "discriminator", 4 * w, classes, config.spectral);
        Self { downs, features, group: config.group as i64, head }
    }

    /// Scores f32 `[n]` of canvases `[n, 1, 32, 32]` in [-1, 1] as pictures of `class`, i64 `[n]`: higher for
    /// real ones.
    pub fn score(&self, ops: &mut Eager, canvas: &Tensor, class: &Tensor, part: Part) -> Tensor {
        let mut x = canvas.shallow_clone();
        for down in &self.downs {
            x = leaky(&down.apply(ops, &x, part));
        }
        if self.group > 0 {
            x = with_group_deviation(&x, self.group);
        }
        let x = leaky(&self.features.apply(ops, &x, part));
        let sums = x.to_kind(Kind::Float).sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float);
        self.head.apply(&sums, class, part)
    }
}
