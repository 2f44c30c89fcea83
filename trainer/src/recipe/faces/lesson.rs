//! What a sampler is taught from photographs before its critic is its only teacher: to give back a face from
//! a code of it. An encoder that is thrown away afterwards writes the codes and keeps them close to the random
//! numbers that the sampler will be given (CVAE-GAN: Bao et al. 2017, there with features of the critic in
//! place of pixels). A critic alone takes far longer to teach where eyes and mouths belong.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::layers::Linear;
use crate::nets::face_trunk::{FaceTrunk, FaceTrunkConfig};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::recipe::vae::divergence;
use crate::store::Store;

/// The finest squares of pixels are compared as they are, then means of twice and four times their side.
const SCALES: [i64; 3] = [1, 2, 4];

/// `[family.lesson]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LessonConfig {
    /// Steps until it is over; its weight falls evenly until then.
    pub steps: u64,
    /// Weight of the mean distance of pixels, at the beginning.
    pub pixels: f64,
    /// Weight of the codes' divergence from the standard normal distribution, in nats, at the beginning.
    pub divergence: f64,
    /// Size of the encoder.
    pub trunk: FaceTrunkConfig,
}

impl LessonConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        if self.steps == 0 {
            return Err("family.lesson.steps must be at least 1".into());
        }
        for (name, value) in [("pixels", self.pixels), ("divergence", self.divergence)] {
            if !(0.0..=1000.0).contains(&value) {
                return Err(format!("family.lesson.{name} is {value}, it must lie in [0, 1000]"));
            }
        }
        self.trunk.validate("family.lesson.trunk")
    }
}

/// The encoder, and how much it matters.
pub(super) struct Lesson {
    config: LessonConfig,
    trunk: FaceTrunk,
    mean: Linear,
    log_variance: Linear,
}

/// Codes of faces.
pub(super) struct Codes {
    /// Drawn for each face, `[n, latent]`.
    pub(super) z: Tensor,
    /// From the standard normal distribution, in nats: a mean over faces.
    pub(super) divergence: Tensor,
}

impl Lesson {
    /// With fresh parameters in `store`, all named `PREFIX.…`; `latent` numbers are a code.
    pub(super) fn new(store: &mut Store, prefix: &str, config: &LessonConfig, latent: usize) -> Self {
        let features = config.trunk.features;
        Self {
            trunk: FaceTrunk::new(store, &format!("{prefix}.trunk"), &config.trunk),
            mean: Linear::new(store, &format!("{prefix}.mean"), features, latent),
            log_variance: Linear::new(store, &format!("{prefix}.log_variance"), features, latent),
            config: config.clone(),
        }
    }

    /// What is left of its weight at `step`: from 1 down to 0.
    pub(super) fn left(&self, step: u64) -> f64 {
        (1.0 - step as f64 / self.config.steps as f64).max(0.0)
    }

    /// Codes of `images` `[n, 3, 64, 64]` in [0, 1].
    pub(super) fn encode(&self, ops: &mut Eager, images: &Tensor) -> Codes {
        let features = self.trunk.forward(ops, images);
        let mean = ops.linear(&features, &self.mean).to_kind(Kind::Float);
        // Neither infinitely sure nor surer of nothing than the random numbers are.
        let log_variance = ops.linear(&features, &self.log_variance).to_kind(Kind::Float).clamp(-10.0, 2.0);
        let divergence = divergence(&mean, &log_variance);
        let z = &mean + (log_variance * 0.5).exp() * mean.randn_like();
        Codes { z, divergence }
    }

    /// What it adds to the sampler's loss at its beginning, for faces that are at a [`distance`] from those that their
    /// codes are of.
    pub(super) fn loss(&self, codes: &Codes, distance: &Tensor) -> Tensor {
        distance * self.config.pixels + &codes.divergence * self.config.divergence
    }
}

/// Mean absolute difference of pixels and of means over squares of them.
pub(super) fn distance(made: &Tensor, images: &Tensor) -> Tensor {
    let difference = made - images;
    let parts = SCALES.map(|side| {
        let part = if side == 1 {
            difference.shallow_clone()
        } else {
            difference.avg_pool2d([side; 2], [side; 2], [0, 0], false, true, None)
        };
        part.abs().mean(Kind::Float)
    });
    Tensor::stack(&parts, 0).mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::face_trunk::Architecture;
    use tch::Device;

    fn lesson(store: &mut Store) -> Lesson {
        let trunk = FaceTrunkConfig { architecture: Architecture::Plain, width: 4, features: 16 };
        let config = LessonConfig { steps: 8, pixels: 20.0, divergence: 0.5, trunk };
        Lesson::new(store, "sampler.lesson", &config, 6)
    }

    #[test]
    fn a_lesson_fades_and_ends() {
        let lesson = lesson(&mut Store::new(1, Device::Cpu));
        assert_eq!([0, 2, 8, 9, u64::MAX].map(|step| lesson.left(step)), [1.0, 0.75, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_shift_of_all_pixels_counts_at_every_scale_and_a_chequerboard_only_at_the_finest() {
        let grey = Tensor::full([1, 3, 8, 8], 0.5, (Kind::Float, Device::Cpu));
        let sign = Tensor::from_slice(&[1.0f32, -1.0, -1.0, 1.0]).reshape([1, 1, 2, 2]).repeat([1, 3, 4, 4]);
        let value = |x: Tensor| distance(&x, &grey).double_value(&[]);
        assert!(value(grey.shallow_clone()).abs() < 1e-9);
        assert!((value(&grey + 0.3) - 0.3).abs() < 1e-6);
        assert!((value(&grey + sign * 0.3) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn codes_close_to_standard_normal_numbers_diverge_little_and_what_is_unlike_costs() {
        let mut store = Store::new(1, Device::Cpu);
        let lesson = lesson(&mut store);
        let faces = Tensor::rand([4, 3, 64, 64], (Kind::Float, Device::Cpu));
        let codes = lesson.encode(&mut Eager::exact(), &faces);
        assert_eq!(codes.z.size(), [4, 6]);
        let divergence = codes.divergence.double_value(&[]);
        assert!((0.0..10.0).contains(&divergence), "{divergence}: untrained heads give about 0 and 1");
        let loss = |made: &Tensor| lesson.loss(&codes, &distance(made, &faces)).double_value(&[]);
        assert!((loss(&faces) - 0.5 * divergence).abs() < 1e-5);
        assert!((loss(&(&faces + 0.1)) - 0.5 * divergence - 2.0).abs() < 1e-4);
    }
}
