//! Training a [`FaceSampler`] against a [`FaceCritic`], with an age judge of another run to say whether the age
//! is right.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::FaceFamily;
use super::borrowed::Borrowed;
use super::lesson::{Lesson, LessonConfig, distance};
use crate::adversarial::critic::Part;
use crate::adversarial::losses::AdversarialLoss;
use crate::adversarial::penalty::Penalty;
use crate::augment::Augmentation;
use crate::data::DataError;
use crate::data::faces::Batch;
use crate::evaluate::faces::response::slope;
use crate::graphs::Exportable;
use crate::nets::age_code::AGES;
use crate::nets::age_judge::AgeJudge;
use crate::nets::face_critic::{FaceCritic, FaceCriticConfig};
use crate::nets::face_sampler::{FaceSampler, FaceSamplerConfig};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::{Family, Loss, Turn};
use crate::store::Store;

/// Ages at which faces are looked at between epochs, in years.
const LOOKED_AT: [f64; 6] = [3.0, 15.0, 30.0, 45.0, 60.0, 75.0];
/// Faces of each of these ages that figures are taken on.
const FACES: i64 = 64;

/// `[family]` with `kind = "face-sampler"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerRecipeConfig {
    /// The run of the age judge that teaches it.
    pub judge: PathBuf,
    /// What the players minimise.
    pub loss: AdversarialLoss,
    /// Penalty on the critic's slope.
    pub penalty: Penalty,
    /// Factor on the learning rate of the critic.
    pub critic_rate: f64,
    /// How both photographs and made faces are changed before the critic and the age judge see them (Zhao et
    /// al. 2020): what is never seen unchanged is not learned by heart.
    pub augmentation: Augmentation,
    /// Weight of the age judge's surprise in nats, beside the loss against the critic.
    pub age: f64,
    /// What it is taught from photographs at first, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<LessonConfig>,
    /// Size of the sampler.
    pub network: FaceSamplerConfig,
    /// Size of the critic.
    pub critic: FaceCriticConfig,
}

impl SamplerRecipeConfig {
    pub(in crate::recipe) fn validate(&self, batch: usize) -> Result<(), String> {
        for (name, value) in [("critic_rate", self.critic_rate), ("age", self.age)] {
            if !(0.0..=100.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 100]"));
            }
        }
        self.lesson.as_ref().map_or(Ok(()), LessonConfig::validate)?;
        self.penalty.validate()?;
        self.augmentation.validate("family.augmentation")?;
        self.network.validate()?;
        self.critic.validate(batch)
    }
}

/// The networks and how they are trained.
pub(in crate::recipe) struct SamplerFamily {
    config: SamplerRecipeConfig,
    sampler: FaceSampler,
    critic: FaceCritic,
    judge: AgeJudge,
    lesson: Option<Lesson>,
    /// What the sampler made in this step, and at which ages.
    made: Option<(Tensor, Tensor)>,
}

impl SamplerFamily {
    /// Opens the run that the recipe names.
    pub(in crate::recipe) fn new(config: &SamplerRecipeConfig, store: &mut Store) -> Result<Self, DataError> {
        let run = Borrowed::open(&config.judge)?;
        let Family::AgeJudge(c) = &run.family else { return Err(run.unfit("age-judge")) };
        let judge = run.network(store.device(), |store| AgeJudge::new(store, &c.network))?;
        let sampler = FaceSampler::new(store, &config.network);
        let critic = FaceCritic::new(store, &config.critic);
        // Moves with the sampler, so its parameters are named as the sampler's are.
        let latent = config.network.latent;
        let lesson = config.lesson.as_ref().map(|c| Lesson::new(store, "sampler.lesson", c, latent));
        Ok(Self { config: config.clone(), sampler, critic, judge, lesson, made: None })
    }

    fn sample(&self, ops: &mut Eager, ages: &Tensor) -> Tensor {
        let z = Tensor::randn(
            [ages.size()[0], self.sampler.config().latent as i64],
            (Kind::Float, ages.device()),
        );
        self.sampler.forward(ops, &z, ages).to_kind(Kind::Float)
    }

    fn sampler_loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64) -> Loss {
        // The ages of the batch, whose decades are equally frequent.
        let target = faces.ages.clamp(AGES[0], AGES[1]);
        let made = self.sample(ops, &target);
        let seen = self.config.augmentation.apply(&made);
        let score = self.critic.score(ops, &seen, &target, Part::Judge);
        let photograph = self.config.loss.generator(&score);
        let logits = self.judge.logits(ops, &seen).to_kind(Kind::Float);
        let age = AgeJudge::surprise(&logits, &target).mean(Kind::Float);
        self.made = Some((seen.detach(), target.shallow_clone()));
        let mut total = &photograph + &age * self.config.age;
        let mut parts = vec![("photograph", photograph), ("age", age)];
        if let Some(lesson) = self.lesson.as_ref().filter(|lesson| lesson.left(step) > 0.0) {
            let codes = lesson.encode(ops, &faces.images);
            let back = self.sampler.forward(ops, &codes.z, &target).to_kind(Kind::Float);
            let distance = distance(&back, &faces.images);
            total = &total + lesson.loss(&codes, &distance) * lesson.left(step);
            parts.extend([("distance", distance), ("divergence", codes.divergence)]);
        }
        Loss { total, parts }
    }

    fn critic_loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64) -> Loss {
        let Some((made, target)) = self.made.take() else {
            unreachable!("the sampler's turn comes before the critic's")
        };
        let real = self.config.augmentation.apply(&faces.images);
        let n = real.size()[0];
        // One batch of both, so that the singular values are followed once a step.
        let both = Tensor::cat(&[&real, &made], 0);
        let scores = self.critic.score(ops, &both, &Tensor::cat(&[&target, &target], 0), Part::Player);
        let (known, fake) = (scores.narrow(0, 0, n), scores.narrow(0, n, n));
        let told = self.config.loss.discriminator(&known, &fake);
        let gap = known.mean(Kind::Float) - fake.mean(Kind::Float);
        let penalty = self
            .config
            .penalty
            .of(step, &real, &made, |images| self.critic.score(ops, images, &target, Part::Player));
        let total = penalty.map_or_else(|| told.shallow_clone(), |p| &told + p);
        Loss { total, parts: vec![("critic", told), ("gap", gap)] }
    }
}

impl FaceFamily for SamplerFamily {
    fn network(&self) -> &dyn Exportable {
        &self.sampler
    }

    fn turns(&self) -> Vec<Turn> {
        vec![
            Turn { prefix: "sampler.", rate: 1.0 },
            Turn { prefix: "critic.", rate: self.config.critic_rate },
        ]
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64, turn: usize) -> Loss {
        if turn == 0 { self.sampler_loss(ops, faces, step) } else { self.critic_loss(ops, faces, step) }
    }

    /// What the judge of the loss says, who is easily pleased: `evaluate` asks others. And how far the mean and
    /// the deviation of every pixel are from those of faces.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let (mut judged, mut made) = (Vec::new(), Vec::new());
        for age in LOOKED_AT {
            let images =
                self.sample(ops, &faces.ages.narrow(0, 0, FACES.min(faces.ages.size()[0])).full_like(age));
            judged.push(AgeJudge::expected(&self.judge.logits(ops, &images)));
            made.push(images);
        }
        let spread = |x: &Tensor| x.std_dim(Some([0i64].as_slice()), true, false).mean(Kind::Double);
        let made = Tensor::cat(&made, 0);
        let variety = spread(&made).double_value(&[]) / spread(&faces.images).double_value(&[]);
        vec![("slope", slope(&LOOKED_AT, &Tensor::stack(&judged, 0))), ("variety", variety)]
    }

    /// Faces given back from their codes beneath them, as long as a lesson is part of it, and the same random
    /// numbers at several ages, row by row.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        if let Some(lesson) = &self.lesson {
            let ops = &mut Eager::exact();
            let codes = lesson.encode(ops, &faces.images);
            grid.row(&faces.images);
            grid.row(&self.sampler.forward(ops, &codes.z, &faces.ages.clamp(AGES[0], AGES[1])));
        }
        let n = faces.ages.size()[0];
        let latent = self.sampler.config().latent as i64;
        let z = Tensor::randn([n, latent], (Kind::Float, faces.ages.device()));
        for age in LOOKED_AT {
            grid.row(&self.sampler.forward(&mut Eager::exact(), &z, &faces.ages.full_like(age)));
        }
    }
}
