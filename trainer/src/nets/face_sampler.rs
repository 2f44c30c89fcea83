//! Makes faces of an age from nothing: random numbers and years to a picture.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::age_code::{AGES, AgeCode, Film};
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Conv2d, ConvTranspose2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Where it begins: height and width of the first map.
const SEED: usize = 4;

/// Size of a [`FaceSampler`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceSamplerConfig {
    /// Random numbers that a face is made from.
    pub latent: usize,
    /// Channels at half the face's size; twice, four times and eight times as many in the smaller maps.
    pub width: usize,
    /// Features that an age and the random numbers are turned into.
    pub code: usize,
}

impl FaceSamplerConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.latent == 0 || self.width == 0 || self.code == 0 {
            return Err("family.network's latent, width and code must be at least 1".into());
        }
        Ok(())
    }
}

/// The network. What it is asked for has a say at every size: each map is normalised by itself, then scaled
/// and shifted by what the random numbers and the age are turned into (adaptive instance normalisation: Huang
/// and Belongie 2017; Karras, Laine and Aila 2019).
pub struct FaceSampler {
    config: FaceSamplerConfig,
    age: AgeCode,
    style: Linear,
    start: Linear,
    films: Vec<Film>,
    ups: Vec<ConvTranspose2d>,
    detail: Conv2d,
    detail_film: Film,
    paint: Conv2d,
}

impl FaceSampler {
    /// With fresh parameters in `store`, all named `sampler.…`.
    pub fn new(store: &mut Store, config: &FaceSamplerConfig) -> Self {
        let w = config.width;
        let name = |part: &str| format!("sampler.{part}");
        let widths = [8 * w, 4 * w, 2 * w, w];
        let age = AgeCode::new(store, &name("age"), config.code);
        let style = Linear::new(store, &name("style"), config.latent + config.code, config.code);
        let start = Linear::new(store, &name("start"), config.latent + config.code, widths[0] * SEED * SEED);
        let films = widths.iter().enumerate();
        let films =
            films.map(|(i, &c)| Film::new(store, &name(&format!("film{i}")), config.code, c)).collect();
        let ups = (0..3)
            .map(|i| ConvTranspose2d::new(store, &name(&format!("up{i}")), widths[i], widths[i + 1], 4, 2));
        let ups = ups.collect();
        Self {
            age,
            style,
            start,
            films,
            ups,
            detail: Conv2d::new(store, &name("detail"), w, w, 3, 1, 1.0),
            detail_film: Film::new(store, &name("detail_film"), config.code, w),
            paint: Conv2d::new(store, &name("paint"), w, 12, 3, 1, 0.5),
            config: config.clone(),
        }
    }

    /// How large it is.
    #[must_use]
    pub fn config(&self) -> &FaceSamplerConfig {
        &self.config
    }

    /// Faces `[batch, 3, 64, 64]` in [0, 1] of `z` `[batch, latent]`, standard normal, and `age` f32 `[batch]`
    /// in years.
    pub fn forward<O: Ops>(&self, ops: &mut O, z: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        let age = self.age.forward(ops, age);
        let both = ops.concat(&[z, &age], 1);
        let style = ops.linear(&both, &self.style);
        let style = ops.relu(&style);
        let x = ops.linear(&both, &self.start);
        let mut x = ops.reshape_rows(&x, &[8 * self.config.width, SEED, SEED]);
        for (i, film) in self.films.iter().enumerate() {
            x = styled(ops, &x, film, &style);
            if let Some(up) = self.ups.get(i) {
                x = ops.conv_transpose2d(&x, up);
            }
        }
        let y = ops.conv2d(&x, &self.detail);
        let x = styled(ops, &y, &self.detail_film, &style);
        let x = ops.conv2d(&x, &self.paint);
        let x = ops.pixel_shuffle(&x, 2);
        ops.sigmoid(&x)
    }
}

fn styled<O: Ops>(ops: &mut O, x: &O::Tensor, film: &Film, style: &O::Tensor) -> O::Tensor {
    let x = ops.instance_norm(x);
    let x = film.apply(ops, &x, style);
    ops.relu(&x)
}

impl Graphs for FaceSampler {
    /// `generator` makes a face of an age.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        vec![GraphPlan {
            name: "generator",
            inputs: vec![
                TensorSpec::new("z", Dtype::F32, [batch(), Dim::Fixed(self.config.latent)]),
                TensorSpec::new("age", Dtype::F32, [batch()]).with_range(AGES[0], AGES[1]),
            ],
            outputs: vec![("image", Some([0.0, 1.0]))],
            state: Vec::new(),
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0], &inputs[1])]
    }
}
