//! Training an [`Ager`] on people whom a sampler of faces makes up, each at several ages, and on photographs
//! against a [`FaceCritic`]. What ageing does to somebody is learned from the made-up; that real faces stay
//! photographs, from the critic.

use std::path::PathBuf;

use anyhow::Context;
use atelier_package::Novelty;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::FaceFamily;
use super::borrowed::Borrowed;
use super::lessons::{Lessons, LessonsConfig, Pairs, Teacher};
use super::likeness::{distance, features};
use super::novelty::limit;
use crate::adversarial::critic::Part;
use crate::adversarial::losses::AdversarialLoss;
use crate::adversarial::penalty::Penalty;
use crate::data::DataError;
use crate::data::faces::Batch;
use crate::graphs::{Exportable, GraphPlan, Graphs};
use crate::nets::age_code::AGES;
use crate::nets::ager::{Ager, AgerConfig};
use crate::nets::face_critic::{FaceCritic, FaceCriticConfig};
use crate::nets::face_novelty::FaceNovelty;
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::{Family, Loss, Turn};
use crate::store::Store;

/// Ages at which faces are looked at between epochs, in years.
const LOOKED_AT: [f64; 5] = [5.0, 20.0, 40.0, 60.0, 80.0];
/// Faces that are validated at a time.
const CHUNK: i64 = 200;

/// `[family]` with `kind = "face-ager"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgerRecipeConfig {
    /// The run of the network that is packed beside it to refuse what is no face.
    pub novelty: PathBuf,
    /// The people that it learns from.
    pub lessons: LessonsConfig,
    /// What the players minimise.
    pub loss: AdversarialLoss,
    /// Penalty on the critic's slope.
    pub penalty: Penalty,
    /// Factor on the learning rate of the critic.
    pub critic_rate: f64,
    /// What the ager minimises.
    pub weights: AgerWeights,
    /// Size of the ager.
    pub network: AgerConfig,
    /// Size of the critic.
    pub critic: FaceCriticConfig,
}

/// Weights of the parts of an ager's loss.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgerWeights {
    /// To make of a made-up face what the sampler makes of the same one at the age asked for: mean distance of
    /// the pixels.
    pub pixels: f64,
    /// The same: mean distance of what the critic makes of them.
    pub features: f64,
    /// To leave a photograph as it is at its own age: mean distance of the pixels.
    pub own: f64,
    /// To make of a photograph what passes for one of somebody of the age asked for.
    pub photograph: f64,
}

impl AgerRecipeConfig {
    pub(in crate::recipe) fn validate(&self, batch: usize) -> Result<(), String> {
        let w = &self.weights;
        for (name, weight) in
            [("pixels", w.pixels), ("features", w.features), ("own", w.own), ("photograph", w.photograph)]
        {
            if !(0.0..=1000.0).contains(&weight) {
                return Err(format!("family.weights.{name} is {weight}, it must lie in [0, 1000]"));
            }
        }
        if !(0.0..=100.0).contains(&self.critic_rate) {
            return Err(format!("family.critic_rate is {}, it must lie in [0, 100]", self.critic_rate));
        }
        self.lessons.validate()?;
        self.penalty.validate()?;
        self.network.validate()?;
        self.critic.validate(batch)
    }
}

/// What is exported: the ager, and what refuses to let it touch anything but faces.
struct Served {
    ager: Ager,
    novelty: FaceNovelty,
}

impl Graphs for Served {
    /// `ager` gives a face at an age, `novelty` says how far a picture is from an aligned face.
    fn plans(&self) -> Vec<GraphPlan> {
        vec![Ager::plan(), FaceNovelty::plan()]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "ager" {
            vec![self.ager.forward(ops, &inputs[0], &inputs[1])]
        } else {
            vec![self.novelty.forward(ops, &inputs[0])]
        }
    }
}

/// The networks and how they are trained.
pub(in crate::recipe) struct AgerFamily {
    config: AgerRecipeConfig,
    served: Served,
    critic: FaceCritic,
    teacher: Teacher,
    /// There once the run is prepared.
    lessons: Option<Lessons>,
    builds_upon: String,
    minutes_before: f64,
    /// What the ager made of photographs in this step, and at which ages.
    made: Option<(Tensor, Tensor)>,
}

impl AgerFamily {
    /// Opens the run and the package that the recipe names.
    pub(in crate::recipe) fn new(config: &AgerRecipeConfig, store: &mut Store) -> Result<Self, DataError> {
        let run = Borrowed::open(&config.novelty)?;
        let Family::FaceNovelty(c) = &run.family else { return Err(run.unfit("face-novelty")) };
        let novelty = FaceNovelty::new(store, &c.network);
        run.load(store, "novelty.")?;
        let teacher = Teacher::open(&config.lessons.sampler)?;
        let ager = Ager::new(store, &config.network);
        let critic = FaceCritic::new(store, &config.critic);
        let builds_upon = format!("{} {}", run.state(), teacher.state());
        Ok(Self {
            config: config.clone(),
            served: Served { ager, novelty },
            critic,
            teacher,
            lessons: None,
            builds_upon,
            minutes_before: run.minutes,
            made: None,
        })
    }

    fn age(&self, ops: &mut Eager, images: &Tensor, ages: &Tensor) -> Tensor {
        self.served.ager.forward(ops, images, ages).to_kind(Kind::Float)
    }

    fn lessons(&self) -> &Lessons {
        let Some(lessons) = &self.lessons else { unreachable!("a run is prepared before its first step") };
        lessons
    }

    fn ager_loss(&mut self, ops: &mut Eager, faces: &Batch) -> Loss {
        let n = faces.images.size()[0];
        let Pairs { from, to, age } = self.lessons().pairs(n, faces.images.device());
        // Some photographs are asked for the age that they have, the others for any.
        let own = (n / 4).max(1);
        let any = faces.ages.rand_like() * (AGES[1] - AGES[0]) + AGES[0];
        let kept = faces.ages.clamp(AGES[0], AGES[1]).narrow(0, 0, own);
        let target = Tensor::cat(&[&kept, &any.narrow(0, own, n - own)], 0);

        let ages = Tensor::cat(&[&age, &target], 0);
        let aged = self.age(ops, &Tensor::cat(&[&from, &faces.images], 0), &ages);
        let [learned, photographs] = [0, n].map(|at| aged.narrow(0, at, n));
        let seen = self.critic.look(ops, &aged, &ages, Part::Judge);
        let known = tch::no_grad(|| self.critic.look(ops, &to, &age, Part::Judge)).maps;
        let pixels = distance(&learned, &to);
        let features = features(&seen.maps, &known);
        let stays = distance(&photographs.narrow(0, 0, own), &faces.images.narrow(0, 0, own));
        let photograph = self.config.loss.generator(&seen.score.narrow(0, n, n));
        let change = (&photographs - &faces.images).detach().abs().mean(Kind::Float);

        self.made = Some((photographs.detach(), target));
        let w = &self.config.weights;
        let total = &pixels * w.pixels + &features * w.features + &stays * w.own + &photograph * w.photograph;
        let parts = vec![
            ("pixels", pixels),
            ("features", features),
            ("own", stays),
            ("photograph", photograph),
            ("change", change),
        ];
        Loss { total, parts }
    }

    fn critic_loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64) -> Loss {
        let Some((made, target)) = self.made.take() else {
            unreachable!("the ager's turn comes before the critic's")
        };
        // Photographs under ages of others count as wrong too (Reed et al. 2016), or nothing would have to look
        // at the age. One batch of all, so that the singular values are followed once a step.
        let n = faces.images.size()[0];
        let group = self.config.critic.group.max(1) as i64;
        let others = n / 2 / group * group;
        let wrong = faces.ages.roll([1i64], [0i64]).narrow(0, 0, others);
        let all = Tensor::cat(&[&faces.images, &made, &faces.images.narrow(0, 0, others)], 0);
        let ages = Tensor::cat(&[&faces.ages, &target, &wrong], 0);
        let scores = self.critic.score(ops, &all, &ages, Part::Player);
        let (real, fake) = (scores.narrow(0, 0, n), scores.narrow(0, n, n + others));
        let told = self.config.loss.discriminator(&real, &fake);
        let gap = real.mean(Kind::Float) - fake.mean(Kind::Float);
        let penalty = self.config.penalty.of(step, &faces.images, &made, |images| {
            self.critic.score(ops, images, &faces.ages, Part::Player)
        });
        let total = penalty.map_or_else(|| told.shallow_clone(), |p| &told + p);
        Loss { total, parts: vec![("critic", told), ("gap", gap)] }
    }
}

impl FaceFamily for AgerFamily {
    fn network(&self) -> &dyn Exportable {
        &self.served
    }

    fn builds_upon(&self) -> &str {
        &self.builds_upon
    }

    /// What refuses pictures is part of what is served.
    fn minutes_before(&self) -> f64 {
        self.minutes_before
    }

    /// Lets the sampler make up the people: the longer, the more there are.
    fn prepare(&mut self, seed: u64) -> anyhow::Result<()> {
        let lessons = self.teacher.teach(&self.config.lessons, seed);
        self.lessons = Some(lessons.with_context(|| {
            format!("{} cannot make faces to learn from", self.config.lessons.sampler.display())
        })?);
        Ok(())
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { prefix: "ager.", rate: 1.0 }, Turn { prefix: "critic.", rate: self.config.critic_rate }]
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64, turn: usize) -> Loss {
        if turn == 0 { self.ager_loss(ops, faces) } else { self.critic_loss(ops, faces, step) }
    }

    /// How far the held-out people are from what the sampler makes of them, beside how far they are when nothing
    /// is done; and how far photographs are from themselves at their own age.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let mut mean = |from: &Tensor, to: &Tensor, age: &Tensor| {
            let n = age.size()[0];
            let (mut made, mut before) = (0.0, 0.0);
            for start in (0..n).step_by(CHUNK as usize) {
                let count = CHUNK.min(n - start);
                let [from, to, age] = [from, to, age].map(|x| x.narrow(0, start, count));
                let share = count as f64 / n as f64;
                made += distance(&self.age(ops, &from, &age), &to).double_value(&[]) * share;
                before += distance(&from, &to).double_value(&[]) * share;
            }
            (made, before)
        };
        let Pairs { from, to, age } = self.lessons().validation(faces.images.device());
        let (distance, untouched) = mean(&from, &to, &age);
        let (own, _) = mean(&faces.images, &faces.images, &faces.ages.clamp(AGES[0], AGES[1]));
        vec![("distance", distance), ("untouched", untouched), ("own", own)]
    }

    /// The faces, and below them at several ages.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        let ops = &mut Eager::exact();
        grid.row(&faces.images);
        for age in LOOKED_AT {
            grid.row(&self.age(ops, &faces.images, &faces.ages.full_like(age)));
        }
    }

    fn novelty(&self, faces: &Batch) -> Option<Novelty> {
        let scores = tch::no_grad(|| self.served.novelty.forward(&mut Eager::exact(), &faces.images));
        Some(Novelty { limit: limit(&scores) })
    }
}
