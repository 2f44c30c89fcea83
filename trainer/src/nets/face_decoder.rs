//! Paints a face from a code of it and its age.

use serde::{Deserialize, Serialize};

use super::age_code::{AgeCode, Film};
use crate::layers::{Conv2d, ConvTranspose2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// Where it begins: height and width of the first map.
const SEED: usize = 4;
/// How often the maps double in size before the pixels are painted.
const DOUBLINGS: usize = 3;

/// Size of a [`FaceDecoder`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceDecoderConfig {
    /// Numbers that a code has.
    pub latent: usize,
    /// Channels at half the face's size; twice, four times and eight times as many in the smaller maps.
    pub width: usize,
    /// Features that an age and the code are turned into.
    pub style: usize,
}

impl FaceDecoderConfig {
    pub(crate) fn validate(&self, at: &str) -> Result<(), String> {
        if self.latent == 0 || self.width == 0 || self.style == 0 {
            return Err(format!("{at}.latent, {at}.width and {at}.style must be at least 1"));
        }
        Ok(())
    }
}

/// The network. Code and age have a say at every size: each map is normalised by itself, then scaled and
/// shifted by what they are turned into (adaptive instance normalisation: Huang and Belongie 2017; Karras,
/// Laine and Aila 2019).
pub struct FaceDecoder {
    config: FaceDecoderConfig,
    age: AgeCode,
    style: Linear,
    start: Linear,
    levels: Vec<Level>,
    last: Film,
    paint: Conv2d,
}

/// From one size to twice that size.
struct Level {
    before: Film,
    up: ConvTranspose2d,
    between: Film,
    conv: Conv2d,
}

impl FaceDecoder {
    /// With fresh parameters in `store`, named `PREFIX.…`.
    pub fn new(store: &mut Store, prefix: &str, config: &FaceDecoderConfig) -> Self {
        let (w, style) = (config.width, config.style);
        let name = |part: &str| format!("{prefix}.{part}");
        let levels = (0..DOUBLINGS).map(|i| {
            let (from, to) = (w << (DOUBLINGS - i), w << (DOUBLINGS - i - 1));
            Level {
                before: Film::new(store, &name(&format!("before{i}")), style, from),
                up: ConvTranspose2d::new(store, &name(&format!("up{i}")), from, to, 4, 2),
                between: Film::new(store, &name(&format!("between{i}")), style, to),
                conv: Conv2d::new(store, &name(&format!("conv{i}")), to, to, 3, 1, 0.5),
            }
        });
        let levels = levels.collect();
        Self {
            levels,
            age: AgeCode::new(store, &name("age"), style),
            style: Linear::new(store, &name("style"), config.latent + style, style),
            start: Linear::new(store, &name("start"), config.latent + style, (w << DOUBLINGS) * SEED * SEED),
            last: Film::new(store, &name("last"), style, w),
            paint: Conv2d::new(store, &name("paint"), w, 12, 3, 1, 0.5),
            config: config.clone(),
        }
    }

    /// How large it is.
    #[must_use]
    pub fn config(&self) -> &FaceDecoderConfig {
        &self.config
    }

    /// Faces `[batch, 3, 64, 64]` in [0, 1] of `code` `[batch, latent]` and `age` f32 `[batch]` in years.
    pub fn forward<O: Ops>(&self, ops: &mut O, code: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        let age = self.age.forward(ops, age);
        let both = ops.concat(&[code, &age], 1);
        let style = ops.linear(&both, &self.style);
        let style = ops.relu(&style);
        let x = ops.linear(&both, &self.start);
        let mut x = ops.reshape_rows(&x, &[self.config.width << DOUBLINGS, SEED, SEED]);
        for level in &self.levels {
            let y = styled(ops, &x, &level.before, &style);
            x = ops.conv_transpose2d(&y, &level.up);
            let y = styled(ops, &x, &level.between, &style);
            let y = ops.conv2d(&y, &level.conv);
            x = ops.add(&x, &y);
        }
        let x = styled(ops, &x, &self.last, &style);
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
