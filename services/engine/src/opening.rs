//! Opens a graph's sessions: as many, with as many threads, for batches of such sizes as do best.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use atelier_package::{GoldenCase, GraphSpec, Package};

use crate::calibration::{Calibration, GraphCalibration};
use crate::decoder::Divided;
use crate::engine::Config;
use crate::plan::GraphPlan;
use crate::runtime::session::{Factory, GraphSession, Runner};
use crate::runtime::{Device, Runtime};
use crate::sizes::{Samples, Sizes};
use crate::split::{Split, Trial, alike, few, try_apart};
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
    /// What few streams are stepped with instead.
    pub(crate) divided: Option<Divided>,
    /// A session of it for each worker.
    pub(crate) companions: Vec<Box<dyn Runner>>,
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
            few: spec.is_step().then(|| self.divided.as_ref().map_or(0, |divided| divided.few)),
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
    let replays = Arc::new(AtomicBool::new(config.cuda_graphs));
    let none = GoldenCase::default();
    let case = package.golden().cases.get(&spec.name).unwrap_or(&none);
    let samples = Arc::new(Samples::new(spec, case)?);
    let factory = |threads| -> Factory {
        let (spec, onnx) = (Arc::clone(spec), Arc::clone(&onnx));
        let (replays, samples) = (Arc::clone(&replays), Arc::clone(&samples));
        Arc::new(move || {
            let session = GraphSession::new(runtime, &onnx, Arc::clone(&spec), device, threads, &replays)?;
            Ok(Box::new(session.with_samples(Arc::clone(&samples))) as Box<dyn Runner>)
        })
    };
    // One that gives other outputs than it was exported with is never run for anyone.
    let checked = |threads| {
        let mut runner = factory(threads)()?;
        let worst = golden::check(runner.as_mut(), spec, package.golden())?;
        Ok::<_, EngineError>((runner, worst))
    };
    let joinable = joinable(spec);
    let known = known.and_then(|known| {
        let found = known.graph(spec, plan.threads * plan.workers);
        let unused = |why: &&str| {
            tracing::info!(model = %package.name(), graph = spec.name, why, "what was measured is not used");
        };
        found.inspect_err(unused).ok()
    });
    let (first, worst) = checked(known.map_or(plan.threads, |known| known.threads))?;
    let share = Share { spec, samples: &samples, joinable, plan, config };
    let mut way = match known {
        Some(known) => {
            let few = known.few.unwrap_or_default();
            let divided = if few > 0 { vec![checked(plan.threads)?.0] } else { Vec::new() };
            let sizes = Sizes::known(&known.sizes, &known.seconds);
            let (threads, workers) = (known.threads, known.workers);
            Way { runners: vec![first], threads, workers, sizes, few, divided }
        }
        None => share.way(first, &|| checked(1).map(|(runner, _)| runner))?,
    };
    let (few, make) = (way.few, factory(way.threads));
    way.fill(&make, &factory(plan.threads))?;
    let (graph, batch_sizes) = (&spec.name, way.sizes.as_slice());
    tracing::info!(
        model = %package.name(), version = %package.version(), graph, golden_error = worst, workers = way.workers,
        threads = way.threads, few, ?batch_sizes, measured = known.is_none(), "loaded a graph"
    );
    let divided = (few > 0).then(|| Divided { few, threads: plan.threads, factory: factory(plan.threads) });
    let Way { runners, threads, sizes, divided: companions, .. } = way;
    Ok(Opened { runners, factory: make, threads, sizes, joinable, divided, companions })
}

/// How a graph is run.
struct Way {
    runners: Vec<Box<dyn Runner>>,
    threads: usize,
    workers: usize,
    sizes: Sizes,
    /// Up to so many streams are stepped with one of the `divided`; 0 where there are none.
    few: usize,
    divided: Vec<Box<dyn Runner>>,
}

impl Way {
    /// As many sessions as there are workers.
    fn fill(&mut self, own: &Factory, divided: &Factory) -> Result<(), EngineError> {
        self.runners.truncate(self.workers);
        while self.runners.len() < self.workers {
            self.runners.push(own()?);
        }
        while self.few > 0 && self.divided.len() < self.workers {
            self.divided.push(divided()?);
        }
        Ok(())
    }
}

/// A graph and its share of the machine.
struct Share<'a> {
    spec: &'a GraphSpec,
    samples: &'a Samples,
    joinable: bool,
    plan: &'a GraphPlan,
    config: &'a Config,
}

impl Share<'_> {
    /// Finds out how the graph does best. There is a session whose threads divide a run; `single` makes one of one
    /// thread.
    fn way(
        &self,
        mut first: Box<dyn Runner>,
        single: &dyn Fn() -> Result<Box<dyn Runner>, EngineError>,
    ) -> Result<Way, EngineError> {
        let tried = self.plan.threads > 1
            && self.config.device == Device::Cpu
            && (!self.spec.is_step() || self.config.slots > 1);
        if tried {
            let most = if self.spec.is_step() { self.config.slots } else { self.plan.threads };
            let mut singles = Vec::with_capacity(self.plan.threads);
            while singles.len() < self.plan.threads.min(most) {
                singles.push(single()?);
            }
            let trial = self.trial(singles.len())?;
            let split = try_apart(first.as_mut(), &mut singles, &trial)?;
            if split == Split::Apart {
                return self.with(singles, 1);
            }
            if split == Split::Both {
                let mut way = self.with(singles, 1)?;
                way.few = self.few(first.as_mut(), &mut way)?;
                if way.few > 0 {
                    way.divided.push(first);
                    return Ok(way);
                }
            }
        }
        self.with(vec![first], self.plan.threads)
    }

    /// By sessions like these, of so many threads.
    fn with(&self, mut runners: Vec<Box<dyn Runner>>, threads: usize) -> Result<Way, EngineError> {
        let all = self.plan.threads * self.plan.workers;
        let workers =
            if threads == 1 { all.min(MOST_SESSIONS.max(self.plan.workers)) } else { self.plan.workers };
        let (step, slots) = (self.spec.is_step(), self.config.slots);
        let workers = if step { workers.min(slots) } else { workers };
        let most = if step { slots.div_ceil(workers) } else { self.config.max_batch };
        let sizes = match runners.first_mut() {
            Some(first) if step || self.joinable => {
                Sizes::probe(first.as_mut(), self.spec, self.samples, most, self.config.batching)?
            }
            _ => Sizes::single(),
        };
        Ok(Way { runners, threads, workers, sizes, few: 0, divided: Vec::new() })
    }

    /// Up to how many streams are better stepped by a session whose threads divide a step; 0 if it gives other bits
    /// than those side by side.
    fn few(&self, divided: &mut dyn Runner, apart: &mut Way) -> Result<usize, EngineError> {
        if let Some(single) = apart.runners.first_mut() {
            for size in apart.sizes.as_slice() {
                if !alike(divided, single.as_mut(), &self.samples.batch(0, *size)?)? {
                    tracing::warn!(
                        graph = self.spec.name,
                        size,
                        "threads that divide a step change its bits"
                    );
                    return Ok(0);
                }
            }
        }
        few(divided, &mut apart.runners, &apart.sizes, self.samples)
    }

    /// For so many sessions side by side.
    fn trial(&self, sessions: usize) -> Result<Trial, EngineError> {
        let step = self.spec.is_step();
        let (most, crowd) = if step { (self.config.slots, STREAMS) } else { (self.config.max_batch, CROWD) };
        if step || self.joinable && most > 1 {
            let part = (crowd.min(most) / sessions.max(1)).max(1);
            let all = part * sessions;
            let batch = |rows| self.samples.batch(0, rows);
            let crowd = (all <= most).then(|| batch(all)).transpose()?;
            return Ok(Trial { alone: batch(1)?, part: batch(part)?, crowd, step });
        }
        let alone = self.samples.whole();
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
