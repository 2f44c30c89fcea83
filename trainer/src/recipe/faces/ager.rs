//! Training an [`Ager`] against a [`FaceCritic`], with an age judge and an encoder of other runs to say whether
//! the age is right and the face is still the same one.

use std::path::PathBuf;

use atelier_package::Novelty;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::FaceFamily;
use super::borrowed::Borrowed;
use super::novelty::limit;
use crate::adversarial::critic::Part;
use crate::adversarial::losses::AdversarialLoss;
use crate::adversarial::penalty::Penalty;
use crate::augment::Augmentation;
use crate::data::DataError;
use crate::data::faces::Batch;
use crate::evaluate::faces::response::slope;
use crate::evaluate::faces::verification::Verifier;
use crate::graphs::{Exportable, GraphPlan, Graphs};
use crate::nets::age_code::AGES;
use crate::nets::age_judge::AgeJudge;
use crate::nets::ager::{Ager, AgerConfig};
use crate::nets::face_critic::{FaceCritic, FaceCriticConfig};
use crate::nets::face_encoder::{FaceEncoder, directions};
use crate::nets::face_novelty::FaceNovelty;
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::{Family, Loss, Turn};
use crate::store::Store;

/// Ages at which faces are looked at between epochs, in years.
const LOOKED_AT: [f64; 5] = [5.0, 20.0, 40.0, 60.0, 80.0];
/// Faces that figures are taken on between epochs.
const FACES: i64 = 240;

/// `[family]` with `kind = "face-ager"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgerRecipeConfig {
    /// The run of the age judge that teaches it.
    pub judge: PathBuf,
    /// The run of the encoder that tells it whose face it is.
    pub encoder: PathBuf,
    /// The run of the network that is packed beside it to refuse what is no face.
    pub novelty: PathBuf,
    /// What the players minimise.
    pub loss: AdversarialLoss,
    /// Penalty on the critic's slope.
    pub penalty: Penalty,
    /// Factor on the learning rate of the critic.
    pub critic_rate: f64,
    /// How pictures are changed before the age judge and the encoder see them, so that no single pattern of
    /// pixels can please them.
    pub augmentation: Augmentation,
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
    /// To pass for a photograph of somebody of the age asked for.
    pub photograph: f64,
    /// To be judged to be of that age: nats of the judge's surprise.
    pub age: f64,
    /// Years of the distance from that age, beside the surprise.
    pub years: f64,
    /// To be the same face: 1 less the cosine.
    pub identity: f64,
    /// To stay as it is at its own age: mean absolute difference of the pixels.
    pub own: f64,
    /// To come back from another age: mean absolute difference of the pixels.
    pub cycle: f64,
    /// To change smoothly: mean squared difference of the change from pixel to pixel. Without it the judge is
    /// pleased by coloured dots that nobody else takes for age.
    pub smooth: f64,
}

impl AgerRecipeConfig {
    pub(in crate::recipe) fn validate(&self, batch: usize) -> Result<(), String> {
        let w = &self.weights;
        for (name, weight) in [
            ("photograph", w.photograph),
            ("age", w.age),
            ("years", w.years),
            ("identity", w.identity),
            ("own", w.own),
            ("cycle", w.cycle),
            ("smooth", w.smooth),
        ] {
            if !(0.0..=1000.0).contains(&weight) {
                return Err(format!("family.weights.{name} is {weight}, it must lie in [0, 1000]"));
            }
        }
        if !(0.0..=100.0).contains(&self.critic_rate) {
            return Err(format!("family.critic_rate is {}, it must lie in [0, 100]", self.critic_rate));
        }
        self.penalty.validate()?;
        self.augmentation.validate("family.augmentation")?;
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
    judge: AgeJudge,
    encoder: FaceEncoder,
    builds_upon: String,
    /// What the ager made in this step, and at which ages.
    made: Option<(Tensor, Tensor)>,
}

impl AgerFamily {
    /// Opens the runs that the recipe names.
    pub(in crate::recipe) fn new(config: &AgerRecipeConfig, store: &mut Store) -> Result<Self, DataError> {
        let device = store.device();
        let run = Borrowed::open(&config.judge)?;
        let mut states = vec![run.state()];
        let Family::AgeJudge(c) = &run.family else { return Err(run.unfit("age-judge")) };
        let judge = run.network(device, |store| AgeJudge::new(store, &c.network))?;
        let run = Borrowed::open(&config.encoder)?;
        states.push(run.state());
        let Family::FaceEncoder(c) = &run.family else { return Err(run.unfit("face-encoder")) };
        let encoder = run.network(device, |store| FaceEncoder::new(store, &c.network))?;
        let run = Borrowed::open(&config.novelty)?;
        states.push(run.state());
        let Family::FaceNovelty(c) = &run.family else { return Err(run.unfit("face-novelty")) };
        let novelty = FaceNovelty::new(store, &c.network);
        run.load(store, "novelty.")?;
        let ager = Ager::new(store, &config.network);
        let critic = FaceCritic::new(store, &config.critic);
        let served = Served { ager, novelty };
        let builds_upon = states.join(" ");
        Ok(Self { config: config.clone(), served, critic, judge, encoder, builds_upon, made: None })
    }

    fn age(&self, ops: &mut Eager, images: &Tensor, ages: &Tensor) -> Tensor {
        self.served.ager.forward(ops, images, ages).to_kind(Kind::Float)
    }

    fn directions(&self, ops: &mut Eager, images: &Tensor) -> Tensor {
        directions(&self.encoder.forward(ops, images))
    }

    fn ager_loss(&mut self, ops: &mut Eager, faces: &Batch) -> Loss {
        let w = &self.config.weights;
        let n = faces.images.size()[0];
        let (own, back) = ((n / 8).max(1), (n / 4).max(1));
        // Some rows are asked for the age that they have, the others for any.
        let any = faces.ages.rand_like() * (AGES[1] - AGES[0]) + AGES[0];
        let kept = faces.ages.clamp(AGES[0], AGES[1]).narrow(0, 0, own);
        let target = Tensor::cat(&[&kept, &any.narrow(0, own, n - own)], 0);
        let aged = self.age(ops, &faces.images, &target);
        let score = self.critic.score(ops, &aged, &target, Part::Judge);
        let photograph = self.config.loss.generator(&score);

        let seen = self.config.augmentation.apply(&aged);
        let logits = self.judge.logits(ops, &seen).to_kind(Kind::Float);
        let age = AgeJudge::surprise(&logits, &target).mean(Kind::Float);
        let years = (AgeJudge::expected(&logits) - &target).abs().mean(Kind::Float);
        let before = tch::no_grad(|| self.directions(ops, &faces.images));
        let cosine = (before * self.directions(ops, &seen)).sum(Kind::Float) / n as f64;
        let identity = 1.0 - cosine;

        let difference = |made: &Tensor, wanted: &Tensor| (made - wanted).abs().mean(Kind::Float);
        let stays = difference(&aged.narrow(0, 0, own), &faces.images.narrow(0, 0, own));
        let (away, home) = (aged.narrow(0, n - back, back), faces.ages.narrow(0, n - back, back));
        let returned = self.age(ops, &away, &home.clamp(AGES[0], AGES[1]));
        let cycle = difference(&returned, &faces.images.narrow(0, n - back, back));
        let changed = &aged - &faces.images;
        let steps = [2, 3].map(|axis| changed.diff(1, axis, None::<&Tensor>, None::<&Tensor>));
        let smooth = steps.iter().map(|d| d.square().mean(Kind::Float)).sum::<Tensor>();
        let change = changed.detach().abs().mean(Kind::Float);

        self.made = Some((aged.detach(), target));
        let total = &photograph * w.photograph
            + &age * w.age
            + &years * w.years
            + &identity * w.identity
            + &stays * w.own
            + &cycle * w.cycle
            + &smooth * w.smooth;
        let parts = vec![
            ("photograph", photograph),
            ("age", age),
            ("years", years),
            ("identity", identity),
            ("own", stays),
            ("cycle", cycle),
            ("smooth", smooth),
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

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { prefix: "ager.", rate: 1.0 }, Turn { prefix: "critic.", rate: self.config.critic_rate }]
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64, turn: usize) -> Loss {
        if turn == 0 { self.ager_loss(ops, faces) } else { self.critic_loss(ops, faces, step) }
    }

    /// What the judge and the encoder of the loss say, who are easily pleased: `evaluate` asks others.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let n = FACES.min(faces.images.size()[0]);
        let images = faces.images.narrow(0, 0, n);
        let before = self.directions(ops, &images);
        let verifier = Verifier::new(&before, 0.01);
        let (mut judged, mut verified, mut change) = (Vec::new(), 0.0, 0.0);
        for age in LOOKED_AT {
            let aged = self.age(ops, &images, &faces.ages.narrow(0, 0, n).full_like(age));
            judged.push(AgeJudge::expected(&self.judge.logits(ops, &aged)));
            verified += verifier.rate(&before, &self.directions(ops, &aged));
            change += (&aged - &images).abs().mean(Kind::Double).double_value(&[]);
        }
        let count = LOOKED_AT.len() as f64;
        let slope = slope(&LOOKED_AT, &Tensor::stack(&judged, 0));
        vec![("slope", slope), ("verified", verified / count), ("change", change / count)]
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
