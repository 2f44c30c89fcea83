//! A class-conditional deep convolutional GAN (Radford, Metz and Chintala 2016) for grey pictures of 28 x 28,
//! which it makes as 32 x 32 with an empty margin.

pub mod discriminator;

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{ClassNorm, Conv2d, ConvTranspose2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Height and width that the networks work at.
pub const CANVAS: usize = 32;
/// Height and width of a picture, in the middle of the canvas.
pub const SIZE: usize = 28;
/// Pixels of margin on every side.
pub const MARGIN: usize = (CANVAS - SIZE) / 2;
/// Where the generator begins: height and width of its first map.
const SEED: usize = 4;

/// Size of a [`Generator`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Numbers that a picture is made from.
    pub latent: usize,
    /// Channels at 16 x 16; twice as many at 8 x 8, four times as many at 4 x 4, half as many at 32 x 32.
    pub width: usize,
}

/// The generator: standard normal numbers and a class to a picture.
///
/// What is generated for a class differs from another's by the gains and shifts after each normalisation
/// (conditional batch normalisation: Dumoulin, Shlens and Kudlur 2017; Miyato and Koyama 2018).
pub struct Generator {
    config: GeneratorConfig,
    classes: usize,
    project: Linear,
    norms: Vec<ClassNorm>,
    ups: Vec<ConvTranspose2d>,
    pixels: Conv2d,
}

impl Generator {
    /// With fresh parameters in `store`, all named `generator.…`.
    pub fn new(store: &mut Store, config: &GeneratorConfig, classes: usize) -> Self {
        let w = config.width;
        let widths = [4 * w, 2 * w, w, w / 2];
        let project = Linear::new(store, "generator.project", config.latent, widths[0] * SEED * SEED);
        let norms = (0..4).map(|i| ClassNorm::new(store, &format!("generator.norm{i}"), classes, widths[i]));
        let norms = norms.collect();
        let up = |i: usize| {
            ConvTranspose2d::new(store, &format!("generator.up{i}"), widths[i], widths[i + 1], 4, 2)
        };
        let ups = (0..3).map(up).collect();
        let pixels = Conv2d::new(store, "generator.pixels", widths[3], 1, 3, 1, 0.5);
        Self { config: config.clone(), classes, project, norms, ups, pixels }
    }

    /// How large it is.
    #[must_use]
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// `z` `[n, latent]`, standard normal, and `class` i64 `[n]` to canvases `[n, 1, 32, 32]` in [-1, 1].
    pub fn canvas<O: Ops>(&self, ops: &mut O, z: &O::Tensor, class: &O::Tensor) -> O::Tensor {
        let x = ops.linear(z, &self.project);
        let mut x = ops.reshape_rows(&x, &[4 * self.config.width, SEED, SEED]);
        for (i, norm) in self.norms.iter().enumerate() {
            let y = ops.class_norm(&x, class, norm);
            x = ops.relu(&y);
            if let Some(up) = self.ups.get(i) {
                x = ops.conv_transpose2d(&x, up);
            }
        }
        let x = ops.conv2d(&x, &self.pixels);
        ops.tanh(&x)
    }

    /// The same without the margin: pictures `[n, 1, 28, 28]` in [0, 1].
    pub fn picture<O: Ops>(&self, ops: &mut O, z: &O::Tensor, class: &O::Tensor) -> O::Tensor {
        let mut x = self.canvas(ops, z, class);
        for axis in [2, 3] {
            x = ops.split(&x, &[MARGIN, SIZE, MARGIN], axis).swap_remove(1);
        }
        ops.affine(&x, 0.5, 0.5)
    }
}

impl Graphs for Generator {
    /// `generator` makes a picture of a class.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let last = (self.classes - 1) as f64;
        vec![GraphPlan {
            name: "generator",
            inputs: vec![
                TensorSpec::new("z", Dtype::F32, [batch(), Dim::Fixed(self.config.latent)]),
                TensorSpec::new("class", Dtype::I64, [batch()]).with_range(0.0, last),
            ],
            outputs: vec![("image", Some([0.0, 1.0]))],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.picture(ops, &inputs[0], &inputs[1])]
    }
}
