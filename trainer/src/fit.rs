//! The training loop: one for all families. It owns the schedule, clipping, the average, logging,
//! checkpoints and the signal to stop.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use tch::{Device, Tensor};

use crate::best::Best;
use crate::checkpoint::Checkpoint;
use crate::optim::AdamW;
use crate::progress::Progress;
use crate::random;
use crate::recipe::{Recipe, RecipeConfig, Turn};
use crate::run::RunDir;
use crate::store::Average;

/// Where a run starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// With fresh parameters.
    Fresh,
    /// With the averaged weights of an earlier run, of another recipe.
    From(RunDir),
    /// Where the run itself stopped.
    Last,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// It was told to stop, and has saved after this many steps.
    Stopped(u64),
}

/// What a step came to, summed over its turns.
struct Course {
    loss: f64,
    norm: f64,
    parts: Vec<(&'static str, Tensor)>,
}

struct Trainer<'a> {
    config: &'a RecipeConfig,
    recipe: Box<dyn Recipe>,
    optimiser: AdamW,
    average: Average,
    best: Option<Best>,
    run: &'a RunDir,
}

/// Trains `config` on the data under `data` into the directory `out`, from where `start` says, until all epochs are
/// done or `stop`, asked before every step, says yes.
///
/// # Errors
/// A directory that holds a run already, or holds none to go on with; data or checkpoint that cannot be used, in which
/// case a new run leaves nothing behind; files that cannot be written, or a loss or gradient that is no longer finite.
pub fn fit(
    config: &RecipeConfig,
    data: &Path,
    device: Device,
    out: &Path,
    start: &Start,
    stop: &dyn Fn(u64) -> bool,
) -> anyhow::Result<Outcome> {
    if let (Some(earlier), Start::Fresh) = (&config.from, start) {
        bail!("this recipe starts from a run of {earlier}, not afresh");
    }
    let run = match start {
        Start::Last => {
            let (run, begun) = RunDir::open(out)?;
            ensure!(
                begun.fingerprint() == config.fingerprint(),
                "cannot resume: {} comes of another recipe (seed, epochs, batch, family or optimiser differ)",
                out.display()
            );
            run
        }
        _ => RunDir::vacant(out)?,
    };
    let mut recipe = config.build(data, device)?;
    if let Start::From(earlier) = start {
        let path = earlier.checkpoint();
        let cannot = || format!("cannot start from {}", path.display());
        let weights = Checkpoint::read(&path).with_context(cannot)?.group("average", device);
        recipe.start_from(&weights).with_context(cannot)?;
    }
    let optimiser = AdamW::new(recipe.store(), config.optimiser.clone());
    let average = Average::new(recipe.store(), config.optimiser.average);
    let mut trainer =
        Trainer { config, recipe, optimiser, average, best: Best::of(&config.family), run: &run };
    let step = if matches!(start, Start::Last) { trainer.resume()? } else { 0 };
    trainer.recipe.prepare()?;
    match start {
        Start::Last => run.goes_on(device)?,
        Start::Fresh => {
            run.begin(config, device)?;
            run.starts_after(trainer.recipe.minutes_before())?;
        }
        Start::From(earlier) => {
            let minutes = earlier.summary()?.minutes;
            run.begin(config, device)?;
            run.starts_after(minutes)?;
        }
    }
    trainer.go(step, stop)
}

impl Trainer<'_> {
    fn go(&mut self, start: u64, stop: &dyn Fn(u64) -> bool) -> anyhow::Result<Outcome> {
        let per_epoch = self.recipe.steps_per_epoch();
        let total = per_epoch * self.config.epochs;
        let mut progress = Progress::new(self.run, start, total, self.config, self.recipe.store())?;
        for step in start..total {
            if stop(step) {
                self.save(step)?;
                progress.finish(self.run)?;
                return Ok(Outcome::Stopped(step));
            }
            let began = Instant::now();
            let rate = self.config.optimiser.rate(step, total);
            let course = self.step(step, rate)?;
            progress.step(step, course.loss, &course.parts, rate, course.norm, began.elapsed())?;

            let done = step + 1;
            if done.is_multiple_of(per_epoch * self.config.every) || done == total {
                let figures = self.look(done)?;
                progress.validation(self.run, done, &figures)?;
                // Before the last state, so that what goes on from there has the best of all before it.
                self.keep_best(done, &figures)?;
                self.save(done)?;
            }
        }
        progress.finish(self.run)?;
        Ok(Outcome::Finished)
    }

    /// All turns of one step.
    fn step(&mut self, step: u64, rate: f64) -> anyhow::Result<Course> {
        let turns = self.recipe.turns();
        let mut course = Course { loss: 0.0, norm: 0.0, parts: Vec::new() };
        for (i, turn) in turns.iter().enumerate() {
            // The first turn's seed has no number, so that families of one player draw what they always drew.
            let number = (i > 0).then_some(i as u64);
            let words: Vec<u64> = [self.config.seed, random::STEP, step].into_iter().chain(number).collect();
            random::seed_torch(&words);
            let loss = self.recipe.loss(step, i);
            let value = loss.total.double_value(&[]);
            if !value.is_finite() {
                bail!(
                    "the loss of step {step} is {value}: the last checkpoint is kept; lower optimiser.learning_rate"
                );
            }
            loss.total.backward();
            let same = |others: &[Turn]| others.iter().filter(|t| t.prefix == turn.prefix).count() as u64;
            let count = step * same(&turns) + same(&turns[..i]);
            let norm = self.optimiser.update(self.recipe.store(), turn.prefix, count, rate * turn.rate);
            if !norm.is_finite() {
                bail!(
                    "the gradient of step {step} is {norm}: the last checkpoint is kept; lower optimiser.learning_rate"
                );
            }
            tch::no_grad(|| self.recipe.after(i));
            course.loss += value;
            course.norm += norm;
            course.parts.extend(loss.parts);
        }
        self.average.update(self.recipe.store(), step);
        Ok(course)
    }

    /// Validation and a sample, with the averaged weights.
    fn look(&mut self, step: u64) -> anyhow::Result<Vec<(&'static str, f64)>> {
        self.average.swap(self.recipe.store_mut());
        self.recipe.settle();
        let figures = self.recipe.validate();
        let sampled = self.recipe.sample(&self.run.samples(), step);
        self.average.swap(self.recipe.store_mut());
        sampled?;
        Ok(figures)
    }

    /// The averaged weights.
    fn state(&self, step: u64, figure: Option<f64>) -> Checkpoint {
        let fingerprint = self.config.fingerprint();
        let builds_upon = self.recipe.builds_upon().to_owned();
        let mut checkpoint = Checkpoint { step, fingerprint, builds_upon, figure, tensors: Vec::new() };
        checkpoint.add("average", self.average.named(self.recipe.store()));
        checkpoint
    }

    /// Keeps the averaged weights where no validation before was as good.
    fn keep_best(&mut self, step: u64, figures: &[(&'static str, f64)]) -> anyhow::Result<()> {
        let (Some(best), Some(&(_, figure))) = (&mut self.best, figures.first()) else { return Ok(()) };
        if best.surpassed_by(figure) {
            self.state(step, Some(figure)).write(&self.run.best())?;
        }
        Ok(())
    }

    fn save(&self, step: u64) -> anyhow::Result<()> {
        let store = self.recipe.store();
        let mut checkpoint = self.state(step, None);
        checkpoint.add("model", store.named());
        checkpoint.add("optimiser", self.optimiser.named(store));
        checkpoint.add("memory", self.recipe.memory());
        checkpoint.write(&self.run.checkpoint())?;
        Ok(())
    }

    fn resume(&mut self) -> anyhow::Result<u64> {
        if let Some(best) = self.best.take() {
            self.best = best.recall(self.run)?;
        }
        let path = self.run.checkpoint();
        if !path.exists() {
            let directory = self.run.path().display();
            ensure!(
                self.config.from.is_none(),
                "cannot resume: {directory} was ended before anything was saved: remove it, and begin anew without --resume"
            );
            // All of it is still to be done.
            return Ok(0);
        }
        let checkpoint = Checkpoint::read(&path).context("cannot resume")?;
        // The recipe beside it may have been changed since.
        ensure!(
            checkpoint.fingerprint == self.config.fingerprint(),
            "cannot resume: {} comes of another recipe than {} is now",
            path.display(),
            self.run.path().display()
        );
        ensure!(
            checkpoint.builds_upon == self.recipe.builds_upon(),
            "cannot resume: a run that {} builds upon is not as it was: its weights are others now",
            self.run.path().display()
        );
        let device = self.recipe.store().device();
        let damaged = || format!("cannot resume from {}", path.display());
        self.recipe.store_mut().load(&checkpoint.group("model", device)).with_context(damaged)?;
        let store = self.recipe.store();
        self.average.load(store, &checkpoint.group("average", device)).with_context(damaged)?;
        self.optimiser.load(store, &checkpoint.group("optimiser", device)).with_context(damaged)?;
        self.recipe.recall(&checkpoint.group("memory", device));
        Ok(checkpoint.step)
    }
}
