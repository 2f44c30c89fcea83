//! All the models that a process serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_package::{Kind, Package, PackageName, Version};

use crate::model::Model;
use crate::plan::{GraphLoad, Plan};
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
    /// The ONNX Runtime library; without it that of `ORT_DYLIB_PATH`.
    pub runtime: Option<PathBuf>,
    /// What may differ between a row run alone and one run with others.
    pub batching: Batching,
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
            parallelism: None,
            runtime: None,
            batching: Batching::Exact,
            max_batch: 32,
            queue_rows: 1024,
            queue_requests: 512,
            queue_bytes: 512 << 20,
            longest_run: Duration::from_secs(60),
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
    models: Vec<Arc<Model>>,
    not_loaded: Vec<NotLoaded>,
    plan: Plan,
}

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
        if config.longest_run.is_zero() {
            return Err(EngineError::invalid("longest_run_seconds", "is 0, but at least 1 is right"));
        }
        let runtime = Runtime::load(config.runtime.as_deref())?;
        let parallelism = config
            .parallelism
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
        let loads: Vec<GraphLoad> = packages.iter().flat_map(Model::loads).collect();
        let plan = Plan::compute(parallelism, config.device, &loads);
        tracing::info!(%plan, "planned the compute");
        let turnstile = Arc::new(Turnstile::new(plan.running));
        let (mut models, mut not_loaded) = (Vec::new(), Vec::new());
        let mut plans = plan.graphs.as_slice();
        for package in packages {
            let (own, rest) = plans.split_at(package.manifest().graphs.len().min(plans.len()));
            plans = rest;
            match Model::load(package, own, config, runtime, &turnstile) {
                Ok(model) => models.push(Arc::new(model)),
                Err(error) => {
                    let (name, version) = (package.name().clone(), package.version());
                    tracing::error!(model = %name, %version, %error, "a package cannot be loaded");
                    not_loaded.push(NotLoaded { name, version, error });
                }
            }
        }
        let inner = Arc::new(Inner { models, not_loaded, plan });
        // Weak, or the threads would keep the engine alive.
        let watched = Arc::downgrade(&inner);
        let look =
            move || watched.upgrade().map(|inner| inner.models.iter().for_each(|m| m.tick())).is_some();
        watchdog::start(look)
            .map_err(|e| EngineError::Runtime(format!("a watchdog thread cannot be started: {e}")))?;
        Ok(Self { inner })
    }

    /// The model `name` (empty: the first one, by name, that will do), in `version` (0: the newest), of one of
    /// these kinds (none: of any).
    pub fn model(&self, name: &str, version: u32, kinds: &[Kind]) -> Result<Arc<Model>, EngineError> {
        let fits = |m: &&Arc<Model>| kinds.is_empty() || kinds.contains(&m.kind());
        let wanted = |m: &&Arc<Model>| {
            (name.is_empty() || m.name().as_str() == name) && (version == 0 || m.version().get() == version)
        };
        let candidates = self.inner.models.iter().filter(fits);
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

    /// Every model that is served, in the order of the packages.
    pub fn models(&self) -> &[Arc<Model>] {
        &self.inner.models
    }

    /// The packages that were set aside.
    pub fn not_loaded(&self) -> &[NotLoaded] {
        &self.inner.not_loaded
    }

    /// Who computes where.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// The worst health of any model.
    pub fn health(&self) -> Health {
        self.inner.models.iter().map(|m| m.health()).fold(Health::Ready, Health::worse)
    }

    /// Takes no more work, finishes what there is within `grace`, gives up the rest with
    /// [`EngineError::Draining`], and joins the worker threads. Again is harmless.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.models.iter().for_each(|m| m.drain());
        let end = Instant::now() + grace;
        while !self.inner.models.iter().all(|m| m.is_idle()) && Instant::now() < end {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        let inner = Arc::clone(&self.inner);
        // Joining waits for the run in progress: not on a thread that others are served by.
        let stopped = tokio::task::spawn_blocking(move || inner.stop()).await;
        if stopped.is_err() {
            tracing::error!("stopping the workers panicked");
        }
    }
}

impl Inner {
    fn stop(&self) {
        self.models.iter().for_each(|m| m.stop());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Also where nobody called shutdown: threads must not outlive the engine.
        self.stop();
    }
}
