//! All the models that a process serves.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use atelier_package::{Kind, Package, PackageName, Version};

use crate::calibration::{Calibration, Machine};
use crate::model::Model;
use crate::plan::{GraphLoad, GraphPlan, Plan};
use crate::runtime::stop::LAST_RUN;
use crate::runtime::{Device, Runtime};
use crate::stats::Health;
use crate::turnstile::Turnstile;
use crate::watchdog;
use crate::{Batching, EngineError};

/// How to serve. The defaults fit a small machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where graphs run.
    pub device: Device,
    /// The cores to use; without it those that this process may use (affinity and cgroup quota).
    pub parallelism: Option<usize>,
    /// On a GPU: each batch size of a graph is recorded once as a CUDA graph, and then launched as a whole instead of kernel
    /// by kernel. Where a graph cannot be recorded, it is run as without.
    pub cuda_graphs: bool,
    /// The ONNX Runtime library; without it that of `ORT_DYLIB_PATH`.
    pub runtime: Option<PathBuf>,
    /// What may differ between a row run alone and one run with others.
    pub batching: Batching,
    /// Whether what was measured of a package on this machine, and kept beside it, is used; else all is measured
    /// anew.
    pub calibrated: bool,
    /// The most rows in a batch of a stateless graph, at least 1.
    pub max_batch: usize,
    /// The most rows that wait for one graph, and that one request may have.
    pub queue_rows: usize,
    /// The most requests that wait for one graph.
    pub queue_requests: usize,
    /// The most bytes of inputs that wait for one graph or are in its batches. A request larger than that is taken
    /// in where there is no other.
    pub queue_bytes: usize,
    /// A run that takes longer is given up, and what waited for it fails.
    pub longest_run: Duration,
    /// How long the first rows of a batch that is not full wait for others although a worker is free. More requests
    /// are served with the same cores where a row is much cheaper in a large batch, and a lone one waits in vain.
    pub max_queue_delay: Duration,
    /// The most streams that advance together through one step graph, at least 1.
    pub slots: usize,
    /// The most streams that wait for a slot.
    pub waiting: usize,
    /// The most chunks that a stream is ahead of its client.
    pub stream_buffer: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            cuda_graphs: false,
            parallelism: None,
            runtime: None,
            batching: Batching::Exact,
            calibrated: true,
            max_batch: 32,
            queue_rows: 1024,
            queue_requests: 512,
            queue_bytes: 512 << 20,
            longest_run: Duration::from_secs(60),
            max_queue_delay: Duration::ZERO,
            slots: 32,
            waiting: 128,
            stream_buffer: 64,
        }
    }
}

/// A package that could not be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct NotLoaded {
    /// The model.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Why.
    pub error: EngineError,
}

/// The loaded models of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    served: Mutex<Served>,
    loader: Loader,
}

/// What is served just now.
#[derive(Debug)]
struct Served {
    models: Arc<[Arc<Model>]>,
    not_loaded: Vec<NotLoaded>,
    plan: Plan,
    /// Nothing is added any more.
    closed: bool,
}

/// What it takes to load a model.
#[derive(Debug)]
struct Loader {
    config: Config,
    runtime: &'static Runtime,
    parallelism: usize,
    turnstile: Arc<Turnstile>,
}

impl Loader {
    fn plan(&self, packages: &[Package]) -> Plan {
        let loads: Vec<GraphLoad> = packages.iter().flat_map(Model::loads).collect();
        Plan::compute(self.parallelism, self.config.device, &loads)
    }

    fn load(&self, package: &Package, plans: &[GraphPlan]) -> Result<Model, EngineError> {
        let known = self.config.calibrated.then(|| Calibration::of(package, &self.machine())).flatten();
        Model::load(package, plans, known.as_ref(), &self.config, self.runtime, &self.turnstile)
    }

    fn machine(&self) -> Machine {
        Machine::here(&self.config, self.parallelism)
    }
}

/// Whoever waits longer than this for company is better off alone.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// How often a drain looks whether it is done.
const DRAIN_STEP: Duration = Duration::from_millis(10);

impl Engine {
    /// Loads packages: opens sessions, checks every graph against its golden outputs, finds the batch sizes and
    /// starts the workers. Takes seconds and blocks: not for a tokio thread.
    ///
    /// A package that cannot be loaded is set aside ([`Engine::not_loaded`]); the others are served. Fails
    /// only if the runtime or the device cannot be had at all.
    pub fn load(config: &Config, packages: &[Package]) -> Result<Self, EngineError> {
        for (field, value) in [("max_batch", config.max_batch), ("slots", config.slots)] {
            if !(1..=4096).contains(&value) {
                return Err(EngineError::invalid(field, format!("is {value}, but 1 to 4096 is right")));
            }
        }
        for (field, value) in [
            ("queue_rows", config.queue_rows),
            ("queue_requests", config.queue_requests),
            ("queue_bytes", config.queue_bytes),
            ("stream_buffer", config.stream_buffer),
        ] {
            if value == 0 {
                return Err(EngineError::invalid(field, "is 0, but at least 1 is right"));
            }
        }
        if config.cuda_graphs && config.device == Device::Cpu {
            let message = "is true, but on the processor there are none: `device` cuda or false is right";
            return Err(EngineError::invalid("cuda_graphs", message));
        }
        if config.longest_run.is_zero() {
            return Err(EngineError::invalid("longest_run_seconds", "is 0, but at least 1 is right"));
        }
        if config.max_queue_delay > LONGEST_DELAY {
            let message = format!("is {}, but 0 to 1000000 is right", config.max_queue_delay.as_micros());
            return Err(EngineError::invalid("max_queue_delay_us", message));
        }
        let runtime = Runtime::load(config.runtime.as_deref())?;
        let parallelism = config
            .parallelism
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
        let loads: Vec<GraphLoad> = packages.iter().flat_map(Model::loads).collect();
        let mut plan = Plan::compute(parallelism, config.device, &loads);
        let turnstile = Arc::new(Turnstile::new(plan.running));
        let loader = Loader { config: config.clone(), runtime, parallelism, turnstile };
        let (mut models, mut not_loaded) = (Vec::new(), Vec::new());
        let planned = std::mem::take(&mut plan.graphs);
        let mut plans = planned.as_slice();
        for package in packages {
            let (own, rest) = plans.split_at(package.manifest().graphs.len().min(plans.len()));
            plans = rest;
            match loader.load(package, own) {
                Ok(model) => {
                    plan.graphs.extend(model.plans());
                    models.push(Arc::new(model));
                }
                Err(error) => {
                    let (name, version) = (package.name().clone(), package.version());
                    tracing::error!(model = %name, %version, %error, "a package cannot be loaded");
                    not_loaded.push(NotLoaded { name, version, error });
                }
            }
        }
        tracing::info!(%plan, "planned the compute");
        let served = Mutex::new(Served { models: models.into(), not_loaded, plan, closed: false });
        let inner = Arc::new(Inner { served, loader });
        // Weak, or the threads would keep the engine alive.
        let watched = Arc::downgrade(&inner);
        let look =
            move || watched.upgrade().map(|inner| inner.models().iter().for_each(|m| m.tick())).is_some();
        watchdog::start(look)
            .map_err(|e| EngineError::Runtime(format!("a watchdog thread cannot be started: {e}")))?;
        Ok(Self { inner })
    }

    /// What was measured of a model's graphs when it was loaded, or read from beside its package.
    ///
    /// Errors: `UnknownModel`.
    pub fn calibration(&self, name: &PackageName, version: Version) -> Result<Calibration, EngineError> {
        let model = self.model(name.as_str(), version.get(), &[])?;
        Ok(Calibration { machine: self.inner.loader.machine(), graphs: model.measured().to_vec() })
    }

    /// The model `name` (empty: the first one, by name, that will do), in `version` (0: the newest), of one of
    /// these kinds (none: of any).
    pub fn model(&self, name: &str, version: u32, kinds: &[Kind]) -> Result<Arc<Model>, EngineError> {
        let fits = |m: &&Arc<Model>| kinds.is_empty() || kinds.contains(&m.kind());
        let wanted = |m: &&Arc<Model>| {
            (name.is_empty() || m.name().as_str() == name) && (version == 0 || m.version().get() == version)
        };
        let models = self.inner.models();
        let candidates = models.iter().filter(fits);
        let key = |m: &&Arc<Model>| (std::cmp::Reverse(m.name().clone()), m.version());
        if let Some(model) = candidates.clone().filter(wanted).max_by_key(key) {
            return Ok(Arc::clone(model));
        }
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let wanted = match (shown.is_empty(), version) {
            (true, 0) => "of this kind".to_owned(),
            (true, v) => format!("of this kind in version {v}"),
            (false, 0) => format!("`{shown}` that can do this"),
            (false, v) => format!("`{shown}` in version {v} that can do this"),
        };
        Err(EngineError::UnknownModel {
            wanted,
            known: candidates.map(|m| format!("{}/{}", m.name(), m.version())).collect(),
        })
    }

    /// Every model that is served just now.
    pub fn models(&self) -> Arc<[Arc<Model>]> {
        self.inner.models()
    }

    /// The packages that were set aside when the engine was made or that could not be [added](Engine::add), and
    /// neither were since nor are [forgotten](Engine::forget).
    pub fn not_loaded(&self) -> Vec<NotLoaded> {
        self.inner.served().not_loaded.clone()
    }

    /// A package that could not be loaded is gone, or another now: it is not among the
    /// [`not_loaded`](Engine::not_loaded) any more. Harmless where it is none of them.
    pub fn forget(&self, name: &PackageName, version: Version) {
        self.inner.served().not_loaded.retain(|not| (&not.name, not.version) != (name, version));
    }

    /// Who computes where.
    pub fn plan(&self) -> Plan {
        self.inner.served().plan.clone()
    }

    /// The worst health of any model.
    pub fn health(&self) -> Health {
        self.inner.models().iter().map(|m| m.health()).fold(Health::Ready, Health::worse)
    }

    /// Loads one more package beside those that are served, as [`load`](Engine::load) does, and serves it from
    /// then on. While it is loaded, and where it cannot be, nothing else that is served is any different. Takes
    /// seconds and blocks: not for a tokio thread.
    ///
    /// Errors: `Package` if it cannot be served, or that version is served already; `Draining`.
    pub fn add(&self, package: &Package) -> Result<(), EngineError> {
        let (name, version) = (package.name(), package.version());
        let there = |m: &Arc<Model>| m.name() == name && m.version() == version;
        let taken = || EngineError::Package(format!("{name}/{version} is served already"));
        if self.models().iter().any(there) {
            return Err(taken());
        }
        let plan = self.inner.loader.plan(std::slice::from_ref(package));
        let loaded = self.inner.loader.load(package, &plan.graphs);
        self.forget(name, version);
        let mut served = self.inner.served();
        let model = match loaded {
            Ok(model) => Arc::new(model),
            Err(error) => {
                served.not_loaded.push(NotLoaded { name: name.clone(), version, error: error.clone() });
                return Err(error);
            }
        };
        // While it was loading the engine may have been shut down, or somebody else may have added it.
        let late = match (served.closed, served.models.iter().any(there)) {
            (true, _) => Some(EngineError::Draining),
            (false, true) => Some(taken()),
            (false, false) => None,
        };
        if let Some(error) = late {
            drop(served);
            model.stop();
            return Err(error);
        }
        let plans: Vec<GraphPlan> = model.plans().collect();
        let mut models: Vec<Arc<Model>> = served.models.iter().cloned().chain([model]).collect();
        models.sort_by(|a, b| (a.name(), a.version()).cmp(&(b.name(), b.version())));
        served.models = models.into();
        served.plan.graphs.extend(plans);
        drop(served);
        tracing::info!(model = %name, %version, "a model is served from now on");
        Ok(())
    }

    /// Serves a model no longer. Who asks from now on does not find it; who has it already is answered, for up
    /// to `grace`.
    ///
    /// Errors: `UnknownModel`.
    pub async fn retire(
        &self,
        name: &PackageName,
        version: Version,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let model = self.inner.take_out(name, version)?;
        let end = Instant::now() + grace;
        // Whoever found it has it in hand until its work is in the queue.
        while (Arc::strong_count(&model) > 1 || !model.is_idle()) && Instant::now() < end {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        if tokio::task::spawn_blocking(move || model.stop()).await.is_err() {
            tracing::error!(model = %name, %version, "stopping a model panicked");
        }
        tracing::info!(model = %name, %version, "a model is served no longer");
        Ok(())
    }

    /// Takes no more work, finishes what there is within `grace`, gives up the rest with
    /// [`EngineError::Draining`], and joins the worker threads; one whose run does not hear of its end within a few
    /// seconds is left behind. Again is harmless.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.served().closed = true;
        let models = self.models();
        models.iter().for_each(|m| m.drain());
        let end = Instant::now() + grace;
        while !models.iter().all(|m| m.is_idle()) && Instant::now() < end {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        let inner = Arc::clone(&self.inner);
        // Joining waits for the runs in progress, for a few seconds at most: not on a thread that others are served by.
        let stopped = tokio::task::spawn_blocking(move || inner.stop()).await;
        if stopped.is_err() {
            tracing::error!("stopping the workers panicked");
        }
    }
}

impl Inner {
    fn served(&self) -> MutexGuard<'_, Served> {
        // Every change is whole before the lock is given back.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn models(&self) -> Arc<[Arc<Model>]> {
        Arc::clone(&self.served().models)
    }

    fn take_out(&self, name: &PackageName, version: Version) -> Result<Arc<Model>, EngineError> {
        let mut served = self.served();
        let is_it = |m: &&Arc<Model>| m.name() == name && m.version() == version;
        let Some(model) = served.models.iter().find(is_it).cloned() else {
            let known = served.models.iter().map(|m| format!("{}/{}", m.name(), m.version())).collect();
            return Err(EngineError::UnknownModel {
                wanted: format!("`{name}` in version {version}"),
                known,
            });
        };
        served.models = served.models.iter().filter(|m| !is_it(m)).cloned().collect();
        let prefix = format!("{name}/{version}/");
        served.plan.graphs.retain(|graph| !graph.name.starts_with(&prefix));
        Ok(model)
    }

    fn stop(&self) {
        let models = self.models();
        models.iter().for_each(|m| m.end());
        let by = Instant::now() + LAST_RUN;
        models.iter().for_each(|m| m.join(by));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Also where nobody called shutdown: threads must not outlive the engine.
        self.stop();
    }
}
