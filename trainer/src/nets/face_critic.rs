//! Tells photographs of faces of an age from generated ones.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::adversarial::critic::{CriticConv2d, Part, leaky, with_group_deviation};
use crate::adversarial::spectral::Spectral;
use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::store::{Init, Store};

/// Ages from 0 on whose coefficients are learned, ten years apart; between them lies what is between.
const TENS: i64 = 10;

/// Size of a [`FaceCritic`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceCriticConfig {
    /// Channels at half the face's size; twice and four times as many in the smaller maps.
    pub width: usize,
    /// Faces that are compared with each other; 0 judges every face on its own.
    pub group: usize,
}

impl FaceCriticConfig {
    pub(crate) fn validate(&self, batch: usize) -> Result<(), String> {
        let group = self.group;
        if self.width == 0 {
            return Err("family.critic.width must be at least 1".into());
        }
        if group > 0 && (group < 2 || !batch.is_multiple_of(group)) {
            return Err(format!(
                "family.critic.group is {group}, it must divide the batch of {batch} and be at least 2, or be 0"
            ));
        }
        Ok(())
    }
}

/// The network: a projection discriminator (Miyato and Koyama 2018) with spectral normalisation (Miyato et
/// al. 2018), whose condition is an age.
pub struct FaceCritic {
    enter: CriticConv2d,
    downs: Vec<CriticConv2d>,
    features: CriticConv2d,
    score: Linear,
    score_bound: Spectral,
    table: Tensor,
    table_bound: Spectral,
    group: i64,
}

/// What a critic sees in images.
pub struct Look {
    /// f32 `[n]`.
    pub score: Tensor,
    /// From half the images' size down to a sixteenth.
    pub maps: Vec<Tensor>,
}

impl FaceCritic {
    /// With fresh parameters in `store`, all named `critic.…`.
    pub fn new(store: &mut Store, config: &FaceCriticConfig) -> Self {
        let w = config.width;
        let mut conv = |name: &str, inputs, outputs, size, stride| {
            let layer = Conv2d::new(store, &format!("critic.{name}"), inputs, outputs, size, stride, 1.0);
            // Half the size exactly, where an even kernel halves.
            CriticConv2d::new(store, Conv2d { padding: 1, ..layer }, true)
        };
        let enter = conv("enter", 12, w, 3, 1);
        let widths = [w, 2 * w, 4 * w, 4 * w];
        let downs = (0..3).map(|i| conv(&format!("down{i}"), widths[i], widths[i + 1], 4, 2)).collect();
        let features = conv("features", 4 * w + usize::from(config.group > 0), 4 * w, 3, 1);
        let score = Linear::new(store, "critic.score", 4 * w, 1);
        let deviation = (0.25 / w as f64).sqrt();
        Self {
            enter,
            downs,
            features,
            score,
            score_bound: Spectral::new(store, "critic.score", 1),
            table: store.parameter("critic.ages.weight", &[TENS as usize, 4 * w], Init::Normal(deviation)),
            table_bound: Spectral::new(store, "critic.ages", TENS as usize),
            group: config.group as i64,
        }
    }

    /// Scores f32 `[n]` of `images` `[n, 3, 64, 64]` in [0, 1] as faces of `ages`, f32 `[n]` in years: higher
    /// for photographs of people of that age.
    pub fn score(&self, ops: &mut Eager, images: &Tensor, ages: &Tensor, part: Part) -> Tensor {
        self.look(ops, images, ages, part).score
    }

    /// As [`FaceCritic::score`], with what it makes of the images on the way.
    pub fn look(&self, ops: &mut Eager, images: &Tensor, ages: &Tensor, part: Part) -> Look {
        let x = ops.affine(images, 2.0, -1.0);
        let x = ops.pixel_unshuffle(&x, 2);
        let mut x = leaky(&self.enter.apply(ops, &x, part));
        let mut maps = vec![x.shallow_clone()];
        for down in &self.downs {
            x = leaky(&down.apply(ops, &x, part));
            maps.push(x.shallow_clone());
        }
        if self.group > 0 {
            x = with_group_deviation(&x, self.group);
        }
        let x = leaky(&self.features.apply(ops, &x, part)).to_kind(Kind::Float);
        let sums = x.sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float);
        let player = part == Part::Player;
        let taken = |x: &Tensor| if player { x.shallow_clone() } else { x.detach() };
        let weight = self.score_bound.normalise(&taken(&self.score.weight), player);
        let table = self.table_bound.normalise(&taken(&self.table), player);
        let rows = weight + tens(ages).matmul(&table);
        let score = (sums * rows).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        Look { score: score + taken(&self.score.bias), maps }
    }
}

/// Shares of the two nearest tens in each age, `[n, 10]`.
fn tens(ages: &Tensor) -> Tensor {
    let at = (ages / 10.0).clamp(0.0, (TENS - 1) as f64).unsqueeze(1);
    let tens = Tensor::arange(TENS, (Kind::Float, ages.device()));
    let share: Tensor = 1.0 - (at - tens).abs();
    share.clamp_min(0.0)
}
