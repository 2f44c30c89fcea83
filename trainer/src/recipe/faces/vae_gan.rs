//! Training a [`FaceVae`] against a [`FaceCritic`]: VAE/GAN (Larsen et al. 2016). Photographs say where eyes
//! and mouths belong, which a critic alone takes far longer to teach; the critic says what skin and hair look
//! like, which no mean of pixels does.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::FaceFamily;
use super::likeness::{distance, features};
use crate::adversarial::critic::Part;
use crate::adversarial::losses::AdversarialLoss;
use crate::adversarial::penalty::Penalty;
use crate::data::faces::Batch;
use crate::graphs::Exportable;
use crate::nets::age_code::AGES;
use crate::nets::face_critic::{FaceCritic, FaceCriticConfig};
use crate::nets::face_vae::{FaceVae, FaceVaeConfig};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::vae::divergence;
use crate::recipe::{Loss, Turn};
use crate::store::Store;

/// `[family]` with `kind = "face-vae-gan"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VaeGanRecipeConfig {
    /// Steps before there is a critic: photographs alone teach.
    pub alone: u64,
    /// What the players minimise.
    pub loss: AdversarialLoss,
    /// Penalty on the critic's slope.
    pub penalty: Penalty,
    /// Factor on the learning rate of the critic.
    pub critic_rate: f64,
    /// Weight of the mean distance of pixels, beside the loss against the critic.
    pub pixels: f64,
    /// Weight of the mean distance of what the critic makes of them.
    pub features: f64,
    /// Weight of the codes' divergence from the standard normal distribution, in nats.
    pub divergence: f64,
    /// Size of encoder and decoder.
    pub network: FaceVaeConfig,
    /// Size of the critic.
    pub critic: FaceCriticConfig,
}

impl VaeGanRecipeConfig {
    pub(in crate::recipe) fn validate(&self, batch: usize) -> Result<(), String> {
        for (name, value) in [
            ("critic_rate", self.critic_rate),
            ("pixels", self.pixels),
            ("features", self.features),
            ("divergence", self.divergence),
        ] {
            if !(0.0..=1000.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 1000]"));
            }
        }
        if !batch.is_multiple_of(2 * self.critic.group.max(1)) {
            return Err(format!(
                "batch is {batch}, it must be a multiple of twice family.critic.group, for half of the codes are mixed"
            ));
        }
        self.penalty.validate()?;
        self.network.validate()?;
        self.critic.validate(batch)
    }
}

/// The networks and how they are trained.
pub(in crate::recipe) struct VaeGanFamily {
    config: VaeGanRecipeConfig,
    vae: FaceVae,
    critic: FaceCritic,
    /// What a step is about: photographs, half of them mirrored, what was made, and the ages of that.
    step: Option<(Tensor, Tensor, Tensor)>,
}

impl VaeGanFamily {
    pub(in crate::recipe) fn new(config: &VaeGanRecipeConfig, store: &mut Store) -> Self {
        let vae = FaceVae::new(store, &config.network);
        let critic = FaceCritic::new(store, &config.critic);
        Self { config: config.clone(), vae, critic, step: None }
    }

    fn vae_loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64) -> Loss {
        let images = mirrored(&faces.images);
        let ages = faces.ages.clamp(AGES[0], AGES[1]);
        let n = ages.size()[0];
        let posterior = self.vae.encode(ops, &images);
        let divergence = divergence(&posterior.mean, &posterior.log_variance);
        let codes = posterior.draw();
        let criticised = step >= self.config.alone;
        let (codes, all) = if criticised { with_mixtures(&codes, &ages) } else { (codes, ages) };
        let made = self.vae.decoder.forward(ops, &codes, &all).to_kind(Kind::Float);
        let back = made.narrow(0, 0, n);
        let distance = distance(&back, &images);
        let mut total = &distance * self.config.pixels + &divergence * self.config.divergence;
        let mut parts = vec![("distance", distance), ("divergence", divergence)];
        if criticised {
            let ages = all.narrow(0, 0, n);
            let known = tch::no_grad(|| self.critic.look(ops, &images, &ages, Part::Judge)).maps;
            let seen = self.critic.look(ops, &made, &all, Part::Judge);
            let photograph = self.config.loss.generator(&seen.score);
            let features = features(&seen.maps, &known);
            total = total + &photograph + &features * self.config.features;
            parts.extend([("photograph", photograph), ("features", features)]);
        }
        self.step = Some((images, made.detach(), all));
        Loss { total, parts }
    }

    fn critic_loss(&mut self, ops: &mut Eager, step: u64) -> Loss {
        let Some((real, made, all)) = self.step.take() else {
            unreachable!("the autoencoder's turn comes before the critic's")
        };
        if step < self.config.alone {
            let nothing = Tensor::zeros([], (Kind::Float, real.device())).set_requires_grad(true);
            return Loss { total: nothing, parts: Vec::new() };
        }
        let n = real.size()[0];
        let ages = all.narrow(0, 0, n);
        // One batch of both, so that the singular values are followed once a step.
        let both = Tensor::cat(&[&real, &made], 0);
        let scores = self.critic.score(ops, &both, &Tensor::cat(&[&ages, &all], 0), Part::Player);
        let (known, fake) = (scores.narrow(0, 0, n), scores.narrow(0, n, made.size()[0]));
        let told = self.config.loss.discriminator(&known, &fake);
        let gap = known.mean(Kind::Float) - fake.mean(Kind::Float);
        let made = made.narrow(0, 0, n);
        let penalty = self
            .config
            .penalty
            .of(step, &real, &made, |images| self.critic.score(ops, images, &ages, Part::Player));
        let total = penalty.map_or_else(|| told.shallow_clone(), |p| &told + p);
        Loss { total, parts: vec![("critic", told), ("gap", gap)] }
    }
}

impl FaceFamily for VaeGanFamily {
    fn network(&self) -> &dyn Exportable {
        &self.vae
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { prefix: "vae.", rate: 1.0 }, Turn { prefix: "critic.", rate: self.config.critic_rate }]
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64, turn: usize) -> Loss {
        if turn == 0 { self.vae_loss(ops, faces, step) } else { self.critic_loss(ops, step) }
    }

    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let posterior = self.vae.encode(ops, &faces.images);
        let back = self.vae.decoder.forward(ops, &posterior.draw(), &faces.ages.clamp(AGES[0], AGES[1]));
        let divergence = divergence(&posterior.mean, &posterior.log_variance);
        vec![
            ("distance", distance(&back, &faces.images).double_value(&[])),
            ("divergence", divergence.double_value(&[])),
        ]
    }

    /// The faces, the same given back from their codes, and faces of codes between those of two.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        let ops = &mut Eager::exact();
        let codes = self.vae.encode(ops, &faces.images).draw();
        let ages = faces.ages.clamp(AGES[0], AGES[1]);
        grid.row(&faces.images);
        grid.row(&self.vae.decoder.forward(ops, &codes, &ages));
        let normal = codes.randn_like();
        grid.row(&self.vae.decoder.forward(ops, &mixture(&codes, &codes.flip([0]), 0.5), &ages));
        grid.row(&self.vae.decoder.forward(ops, &normal, &ages));
    }
}

/// Every second picture turned left to right. Batches are in random order.
fn mirrored(images: &Tensor) -> Tensor {
    let n = images.size()[0];
    let (kept, turned) = (images.narrow(0, 0, n / 2), images.narrow(0, n / 2, n - n / 2));
    Tensor::cat(&[kept, turned.flip([3])], 0)
}

/// Between two codes, and as long as codes are: the sum of two independent ones has the variance of each.
fn mixture(one: &Tensor, other: &Tensor, share: f64) -> Tensor {
    let length = (share * share + (1.0 - share) * (1.0 - share)).sqrt();
    (one * ((1.0 - share) / length)) + other * (share / length)
}

/// Codes and ages, and after them half as many that lie between two of them: what is between photographs has
/// to look like one too, for that is where codes that are drawn lie.
fn with_mixtures(codes: &Tensor, ages: &Tensor) -> (Tensor, Tensor) {
    let half = ages.size()[0] / 2;
    let share = 0.25 + 0.5 * Tensor::rand([1], (Kind::Float, ages.device())).double_value(&[]);
    let [(one, first), (other, second)] =
        [0, half].map(|at| (codes.narrow(0, at, half), ages.narrow(0, at, half)));
    let mixed = mixture(&one, &other, share);
    let between = first * (1.0 - share) + second * share;
    (Tensor::cat(&[codes, &mixed], 0), Tensor::cat(&[ages, &between], 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn half_of_a_batch_is_mirrored() {
        let images = Tensor::rand([4, 3, 8, 8], (Kind::Float, Device::Cpu));
        let turned = mirrored(&images);
        assert_eq!(turned.narrow(0, 0, 2), images.narrow(0, 0, 2));
        assert_eq!(turned.narrow(0, 2, 2).flip([3]), images.narrow(0, 2, 2));
    }

    #[test]
    fn mixtures_follow_what_they_are_mixed_of_and_are_as_long_as_codes() {
        tch::manual_seed(5);
        let codes = Tensor::randn([2000, 16], (Kind::Float, Device::Cpu));
        let ages = Tensor::cat(
            &[
                Tensor::full([1000], 10.0, (Kind::Float, Device::Cpu)),
                Tensor::full([1000], 50.0, (Kind::Float, Device::Cpu)),
            ],
            0,
        );
        let (all, years) = with_mixtures(&codes, &ages);
        assert_eq!((all.size(), years.size()), (vec![3000, 16], vec![3000]));
        assert_eq!((all.narrow(0, 0, 2000), years.narrow(0, 0, 2000)), (codes, ages));
        let deviation = all.narrow(0, 2000, 1000).std(true).double_value(&[]);
        assert!((deviation - 1.0).abs() < 0.03, "{deviation}");
        let between = years.narrow(0, 2000, 1000);
        assert!(between.min().double_value(&[]) >= 20.0 && between.max().double_value(&[]) <= 40.0);
    }
}
