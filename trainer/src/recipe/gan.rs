//! Training the [`dcgan`](crate::nets::dcgan) on Fashion-MNIST: a generator and a discriminator take turns.

use std::path::Path;

use atelier_package::{Labels, Manifest};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig, Turn};
use crate::adversarial::critic::Part;
use crate::adversarial::losses::AdversarialLoss;
use crate::adversarial::penalty::Penalty;
use crate::data::DataError;
use crate::data::fashion::{CLASSES, Fashion, NAMES};
use crate::evaluate::frechet::Moments;
use crate::evaluate::hog::hog;
use crate::graphs::Exportable;
use crate::nets::dcgan::discriminator::{Discriminator, DiscriminatorConfig};
use crate::nets::dcgan::{Generator, GeneratorConfig, MARGIN};
use crate::ops::eager::{Eager, Precision};
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// The discriminator's parameters.
const DISCRIMINATOR: &str = "discriminator.";
/// The generator's parameters.
const GENERATOR: &str = "generator.";
/// Pictures by which the statistics of normalisation are measured.
const MEASURED: i64 = 2_000;
/// Pictures that are generated at a time.
const CHUNK: i64 = 500;
/// Pictures of a class in the sample.
const COLUMNS: i64 = 16;

/// `[family]` with `kind = "gan"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GanRecipeConfig {
    /// What the players play for.
    pub loss: AdversarialLoss,
    /// Turns of the discriminator before each of the generator's, every one with a batch of its own.
    pub discriminator_turns: usize,
    /// The discriminator's learning rate, as a multiple of the generator's.
    pub discriminator_rate: f64,
    /// The discriminator's parameters are limited to this on both sides of 0 after each of its turns; 0 leaves
    /// them.
    pub limit: f64,
    /// A penalty on the discriminator's slope; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Penalty>,
    /// Size of the generator.
    pub generator: GeneratorConfig,
    /// Size of the discriminator.
    pub discriminator: DiscriminatorConfig,
}

impl GanRecipeConfig {
    pub(super) fn validate(&self, batch: usize) -> Result<(), String> {
        let group = self.discriminator.group;
        if !(1..=100).contains(&self.discriminator_turns) {
            return Err("family.discriminator_turns must be 1 to 100".into());
        }
        if !(self.discriminator_rate > 0.0 && self.discriminator_rate <= 1e3) {
            let rate = self.discriminator_rate;
            return Err(format!("family.discriminator_rate is {rate}, it must lie in (0, 1000]"));
        }
        if !(0.0..=1e3).contains(&self.limit) {
            return Err(format!("family.limit is {}, it must lie in [0, 1000]", self.limit));
        }
        if self.generator.latent == 0 {
            return Err("family.generator.latent must be at least 1".into());
        }
        if self.generator.width < 2 || !self.generator.width.is_multiple_of(2) {
            return Err("family.generator.width must be even and at least 2".into());
        }
        if self.discriminator.width == 0 {
            return Err("family.discriminator.width must be at least 1".into());
        }
        if group > 0 && (group < 2 || !batch.is_multiple_of(group)) {
            return Err(format!(
                "family.discriminator.group is {group}, it must divide the batch of {batch} and be at least 2, or be 0"
            ));
        }
        self.penalty.as_ref().map_or(Ok(()), Penalty::validate)
    }
}

/// Its part of a run.
pub(super) struct GanRecipe {
    config: GanRecipeConfig,
    seed: u64,
    precision: Precision,
    batch: usize,
    store: Store,
    generator: Generator,
    discriminator: Discriminator,
    data: Fashion,
    order: Order,
}

impl GanRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &GanRecipeConfig,
        directory: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let data = Fashion::read(directory, "train")?;
        let (batch, turns, count) = (common.batch, config.discriminator_turns, data.training_count());
        if batch * turns > count as usize {
            let message = format!(
                "{count} images are fewer than a step takes: batch x family.discriminator_turns, {batch} x {turns}"
            );
            return Err(DataError::malformed(directory, message));
        }
        let mut store = Store::new(common.seed, device);
        let generator = Generator::new(&mut store, &config.generator, CLASSES);
        let discriminator = Discriminator::new(&mut store, &config.discriminator, CLASSES);
        // A step takes a batch for every turn of the discriminator.
        let order = Order::new(common.seed, count as usize, batch * turns);
        Ok(Self {
            config: config.clone(),
            seed: common.seed,
            precision: common.precision,
            batch: common.batch,
            store,
            generator,
            discriminator,
            data,
            order,
        })
    }

    /// `n` times standard normal numbers from libtorch's generator.
    fn noise(&self, n: i64) -> Tensor {
        let latent = self.config.generator.latent as i64;
        Tensor::randn([n, latent], (Kind::Float, self.store.device()))
    }

    fn discriminate(&self, real: &Tensor, class: &Tensor, step: u64) -> Loss {
        let ops = &mut Eager::with(self.precision);
        let n = real.size()[0];
        let noise = self.noise(n);
        let fake = tch::no_grad(|| self.generator.canvas(ops, &noise, class)).to_kind(Kind::Float);
        let both = Tensor::cat(&[real, &fake], 0);
        let scores = self.discriminator.score(ops, &both, &Tensor::cat(&[class, class], 0), Part::Player);
        let (on_real, on_fake) = (scores.narrow(0, 0, n), scores.narrow(0, n, n));
        let loss = self.config.loss.discriminator(&on_real, &on_fake);
        let mean = |x: &Tensor| x.mean(Kind::Float).detach();
        let mut parts = vec![
            ("discriminator_loss", loss.detach()),
            ("score_real", mean(&on_real)),
            ("score_fake", mean(&on_fake)),
        ];
        let penalty = self.config.penalty.as_ref().and_then(|penalty| {
            penalty.of(step, real, &fake, |x| self.discriminator.score(ops, x, class, Part::Player))
        });
        let Some(penalty) = penalty else { return Loss { total: loss, parts } };
        parts.push(("penalty", penalty.detach()));
        Loss { total: loss + penalty, parts }
    }

    fn generate(&self) -> Loss {
        let ops = &mut Eager::with(self.precision);
        let n = self.batch as i64;
        let class = Tensor::randint(CLASSES as i64, [n], (Kind::Int64, self.store.device()));
        let fake = self.generator.canvas(ops, &self.noise(n), &class);
        let scores = self.discriminator.score(ops, &fake, &class, Part::Judge);
        let total = self.config.loss.generator(&scores);
        let parts = vec![("generator_loss", total.detach())];
        Loss { total, parts }
    }

    /// `n` pictures `[n, 1, 28, 28]` in [0, 1], as many of each class as of any other.
    fn pictures(&self, n: i64) -> Tensor {
        let ops = &mut Eager::exact();
        let parts: Vec<Tensor> = (0..n)
            .step_by(CHUNK as usize)
            .map(|start| {
                let count = CHUNK.min(n - start);
                let class = Tensor::arange(count, (Kind::Int64, self.store.device()));
                self.generator.picture(ops, &self.noise(count), &class.remainder(CLASSES as i64))
            })
            .collect();
        Tensor::cat(&parts, 0)
    }
}

impl Recipe for GanRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.generator
    }

    fn complete(&mut self, manifest: &mut Manifest) {
        manifest.labels = Some(Labels { names: NAMES.map(str::to_owned).to_vec() });
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn steps_per_epoch(&self) -> u64 {
        self.order.steps_per_epoch()
    }

    fn turns(&self) -> Vec<Turn> {
        let first = Turn { prefix: DISCRIMINATOR, rate: self.config.discriminator_rate };
        let mut turns = vec![first; self.config.discriminator_turns];
        turns.push(Turn { prefix: GENERATOR, rate: 1.0 });
        turns
    }

    fn loss(&mut self, step: u64, turn: usize) -> Loss {
        if turn == self.config.discriminator_turns {
            return self.generate();
        }
        let taken = self.order.batch(step);
        let each = taken.len() / self.config.discriminator_turns;
        let (images, class) = self.data.labelled(&taken[turn * each..(turn + 1) * each], self.store.device());
        let margin = MARGIN as i64;
        let canvas = (images * 2.0 - 1.0).pad([margin; 4], "constant", -1.0);
        self.discriminate(&canvas, &class, step)
    }

    fn after(&mut self, turn: usize) {
        if turn == self.config.discriminator_turns || self.config.limit <= 0.0 {
            return;
        }
        let limit = self.config.limit;
        for p in self.store.parameters().iter().filter(|p| p.trains() && p.name.starts_with(DISCRIMINATOR)) {
            let _ = p.value.detach().clamp_(-limit, limit);
        }
    }

    fn settle(&mut self) {
        let like = (Kind::Int64, self.store.device());
        random::seed_torch(&[self.seed, random::SETTLE]);
        let class = Tensor::arange(MEASURED, like).remainder(CLASSES as i64);
        let _ =
            tch::no_grad(|| self.generator.canvas(&mut Eager::measuring(), &self.noise(MEASURED), &class));
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let start = self.data.training_count();
        let count = self.data.len() - start;
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let real = self.data.range(start, count, self.store.device());
        let distance =
            tch::no_grad(|| Moments::of(&hog(&self.pictures(count))).distance(&Moments::of(&hog(&real))));
        vec![("hog_fid", distance)]
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        random::seed_torch(&[self.seed, random::VALIDATION]);
        // The same numbers for every class: a column shows what they mean in each.
        let noise = self.noise(COLUMNS);
        let mut grid = Grid::new(COLUMNS as usize);
        for class in 0..CLASSES as i64 {
            let class = Tensor::full([COLUMNS], class, (Kind::Int64, self.store.device()));
            grid.row(&tch::no_grad(|| self.generator.picture(&mut Eager::exact(), &noise, &class)));
        }
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
