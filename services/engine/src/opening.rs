//! Opens a graph's sessions: as many, with as many threads, for batches of such sizes as do best.

use std::sync::Arc;

use atelier_package::{GoldenCase, GraphSpec, Package, Tensor};

use crate::calibration::{Calibration, GraphCalibration};
use crate::engine::Config;
use crate::plan::GraphPlan;
use crate::runtime::session::{Factory, GraphSession, Runner};
use crate::runtime::{Device, Runtime};
use crate::sizes::{Samples, Sizes};
use crate::split::{Trial, try_apart};
use crate::{EngineError, golden};

/// More sessions of one thread than this gain little, and each holds the weights.
const MOST_SESSIONS: usize = 16;
/// Rows that come together when a graph is tried.
const CROWD: usize = 8;
/// Streams that are advanced together when a step graph is.
const STREAMS: usize = 32;

/// A graph whose sessions are open and give its golden outputs.
pub(crate) struct Opened {
    /// One for each worker.
    pub(crate) runners: Vec<Box<dyn Runner>>,
    /// Makes one more, after a fault.
    pub(crate) factory: Factory,
    pub(crate) threads: usize,
    pub(crate) sizes: Sizes,
    pub(crate) joinable: bool,
}

impl Opened {
    /// What was measured, to be kept.
    pub(crate) fn calibration(&self, spec: &GraphSpec) -> GraphCalibration {
        GraphCalibration {
            name: spec.name.clone(),
            sha256: spec.sha256.clone(),
            workers: self.runners.len(),
            threads: self.threads,
            sizes: self.sizes.as_slice().to_vec(),
            seconds: self.sizes.seconds(),
        }
    }
}

/// Opens one of a package's graphs within its share of the machine. What is `known` of it is not measured again.
pub(crate) fn open(
    package: &Package,
    spec: &Arc<GraphSpec>,
    plan: &GraphPlan,
    config: &Config,
    runtime: &'static Runtime,
    known: Option<&Calibration>,
) -> Result<Opened, EngineError> {
    let onnx: Arc<[u8]> = package.graph_bytes(&spec.name)?.into();
    let device = config.device;
    let factory = |threads| -> Factory {
        let (spec, onnx) = (Arc::clone(spec), Arc::clone(&onnx));
        Arc::new(move || {
            let session = GraphSession::open(runtime, &onnx, Arc::clone(&spec), device, threads)?;
            Ok(Box::new(session) as Box<dyn Runner>)
        })
    };
    // One that gives other outputs than it was exported with is never run for anyone.
    let checked = |threads| {
        let mut runner = factory(threads)()?;
        let worst = golden::check(runner.as_mut(), spec, package.golden())?;
        Ok::<_, EngineError>((runner, worst))
    };
    let none = GoldenCase::default();
    let case = package.golden().cases.get(&spec.name).unwrap_or(&none);
    let joinable = joinable(spec);
    let fits = |known: &&GraphCalibration| known.threads * known.workers <= plan.threads * plan.workers;
    let known = known.and_then(|known| known.graph(spec)).filter(fits);
    let mut threads = known.map_or(plan.threads, |known| known.threads);
    let (first, worst) = checked(threads)?;
    let mut runners = vec![first];
    if known.is_none() && threads > 1 && device == Device::Cpu {
        let share = Share { spec, case, joinable, plan, config };
        let single = || checked(1).map(|(runner, _)| runner);
        if let Some(better) = share.divided(&mut runners, &single)? {
            runners = better;
            threads = 1;
        }
    }
    let workers = match (known, threads) {
        (Some(known), _) => known.workers,
        (None, 1) => (plan.threads * plan.workers).min(MOST_SESSIONS.max(plan.workers)),
        (None, _) => plan.workers,
    };
    let workers = if spec.is_step() { workers.min(config.slots) } else { workers };
    let sizes = match (known, runners.first_mut()) {
        (Some(known), _) => Sizes::known(&known.sizes, &known.seconds),
        (None, Some(first)) if spec.is_step() => {
            let slots = config.slots.div_ceil(workers);
            Sizes::probe(first.as_mut(), spec, case, slots, config.batching)?
        }
        (None, Some(first)) if joinable => {
            Sizes::probe(first.as_mut(), spec, case, config.max_batch, config.batching)?
        }
        (None, _) => Sizes::single(),
    };
    let factory = factory(threads);
    runners.truncate(workers);
    while runners.len() < workers {
        runners.push(factory()?);
    }
    let (graph, batch_sizes) = (&spec.name, sizes.as_slice());
    tracing::info!(
        model = %package.name(), version = %package.version(), graph, golden_error = worst, workers, threads,
        ?batch_sizes, measured = known.is_none(), "loaded a graph"
    );
    Ok(Opened { runners, factory, threads, sizes, joinable })
}

/// A graph and its share of the machine.
struct Share<'a> {
    spec: &'a GraphSpec,
    case: &'a GoldenCase,
    joinable: bool,
    plan: &'a GraphPlan,
    config: &'a Config,
}

impl Share<'_> {
    /// Sessions of one thread, if those are better than the one there is.
    fn divided(
        &self,
        runners: &mut [Box<dyn Runner>],
        single: &dyn Fn() -> Result<Box<dyn Runner>, EngineError>,
    ) -> Result<Option<Vec<Box<dyn Runner>>>, EngineError> {
        let Some(first) = runners.first_mut() else { return Ok(None) };
        if self.spec.is_step() && self.config.slots < 2 {
            return Ok(None);
        }
        let trial = self.trial()?;
        let mut singles = Vec::with_capacity(self.plan.threads);
        while singles.len() < self.plan.threads {
            singles.push(single()?);
        }
        Ok(try_apart(first.as_mut(), &mut singles, &trial)?.then_some(singles))
    }

    fn trial(&self) -> Result<Trial, EngineError> {
        let step = self.spec.is_step();
        let (most, crowd) = if step { (self.config.slots, STREAMS) } else { (self.config.max_batch, CROWD) };
        if step || self.joinable && most > 1 {
            let samples = Samples::new(self.spec, self.case)?;
            let part = (crowd / self.plan.threads).clamp(1, most);
            let crowd = (part * self.plan.threads).min(most);
            let batch = |rows| samples.batch(0, rows);
            return Ok(Trial { alone: batch(1)?, part: batch(part)?, crowd: Some(batch(crowd)?), step });
        }
        let missing =
            |name: &str| EngineError::Package(format!("{}: no golden input `{name}`", self.spec.name));
        let input = |name: &String| self.case.inputs.get(name).cloned().ok_or_else(|| missing(name));
        let inputs = self.spec.inputs.iter().map(|spec| input(&spec.name));
        let alone: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
        Ok(Trial { part: alone.clone(), alone, crowd: None, step })
    }
}

/// Whether requests can be joined row by row: every input and output begins with `batch`, and nothing else is
/// open (rows of different sizes cannot lie in one tensor).
fn joinable(spec: &GraphSpec) -> bool {
    spec.inputs.iter().chain(&spec.outputs).all(|s| {
        let symbols = s.shape.iter().filter(|d| matches!(d, atelier_package::Dim::Symbol(_))).count();
        s.batch_axis() == Some(0) && symbols == 1
    })
}
