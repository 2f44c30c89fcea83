//! How a run goes, for people and for programs: a bar, JSON lines, TensorBoard events, and a curve.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use tch::Tensor;

use crate::curve::{self, Curve};
use crate::events::EventFile;
use crate::recipe::RecipeConfig;
use crate::run::RunDir;
use crate::store::Store;

/// Writes everything about a run's course.
pub struct Progress {
    bar: ProgressBar,
    lines: File,
    events: EventFile,
    curve: Curve,
    batch: usize,
    per_line: u64,
    since: Window,
    began: Instant,
    total: u64,
}

/// Sums since the last line.
#[derive(Default)]
struct Window {
    steps: u64,
    loss: f64,
    norm: f64,
    busy: Duration,
}

impl Progress {
    /// For steps `start..total`.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn new(
        run: &RunDir,
        start: u64,
        total: u64,
        config: &RecipeConfig,
        store: &Store,
    ) -> anyhow::Result<Self> {
        let path = run.metrics();
        let mut lines = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        write(&mut lines, &json!({ (curve::START): start }))?;
        let bar = ProgressBar::new(total).with_position(start);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.println(format!(
            "{}: {} parameters, {} epochs, {} steps, from step {start}",
            config.package,
            store.count(),
            config.epochs,
            total
        ));
        Ok(Self {
            bar,
            lines,
            events: EventFile::create(run.path())?,
            curve: Curve::read(&path),
            batch: config.batch,
            per_line: (total / 500).clamp(1, 100),
            since: Window::default(),
            began: Instant::now(),
            total,
        })
    }

    /// After every step.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn step(
        &mut self,
        step: u64,
        loss: f64,
        parts: &[(&'static str, Tensor)],
        rate: f64,
        norm: f64,
        busy: Duration,
    ) -> anyhow::Result<()> {
        self.bar.inc(1);
        self.since.steps += 1;
        self.since.loss += loss;
        self.since.norm += norm;
        self.since.busy += busy;
        if !(step + 1).is_multiple_of(self.per_line) && step + 1 != self.total {
            return Ok(());
        }
        let window = std::mem::take(&mut self.since);
        let n = window.steps as f64;
        self.bar.set_message(format!("loss {:.4}", window.loss / n));
        let mut line = Map::new();
        line.insert("step".into(), json!(step + 1));
        line.insert("loss".into(), json!(window.loss / n));
        for (name, value) in parts {
            line.insert((*name).into(), json!(value.double_value(&[])));
        }
        line.insert("learning_rate".into(), json!(rate));
        line.insert("gradient_norm".into(), json!(window.norm / n));
        line.insert("samples_per_second".into(), json!(n * self.batch as f64 / window.busy.as_secs_f64()));
        line.insert("seconds".into(), json!(self.began.elapsed().as_secs_f64()));
        self.write(line)
    }

    /// After every validation.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn validation(
        &mut self,
        run: &RunDir,
        step: u64,
        figures: &[(&'static str, f64)],
    ) -> anyhow::Result<()> {
        let mut line = Map::new();
        line.insert("step".into(), json!(step));
        if let Some((first, _)) = figures.first() {
            line.insert(curve::WATCHED.into(), json!(first));
        }
        let mut shown = format!("step {step}:");
        for (name, value) in figures {
            line.insert(format!("validation_{name}"), json!(value));
            shown.push_str(&format!(" {name} {value:.4}"));
        }
        self.bar.println(shown);
        self.write(line)?;
        curve::draw(&self.curve, &run.curve())
    }

    /// When the last step is done.
    ///
    /// # Errors
    /// The curve cannot be written.
    pub fn finish(&self, run: &RunDir) -> anyhow::Result<()> {
        self.bar.finish();
        curve::draw(&self.curve, &run.curve())
    }

    fn write(&mut self, line: Map<String, Value>) -> anyhow::Result<()> {
        self.events.scalars(&line)?;
        self.curve.add(&line);
        write(&mut self.lines, &Value::Object(line))
    }
}

/// In one piece, so that hardly ever half a line is left where a run is killed.
fn write(lines: &mut File, line: &Value) -> anyhow::Result<()> {
    lines.write_all(format!("{line}\n").as_bytes()).context("cannot write metrics.jsonl")
}
