//! One version of a model, loaded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use atelier_package::{GoldenCase, GraphSpec, Kind, Manifest, Package, PackageName, Tensor, Version};

use crate::batcher::{self, GraphHandle};
use crate::decoder::shape::StepShape;
use crate::decoder::{self, Decoder};
use crate::engine::Config;
use crate::plan::{GraphLoad, GraphPlan};
use crate::runtime::session::{Factory, GraphSession, Runner};
use crate::runtime::{Device, Runtime};
use crate::sizes::Sizes;
use crate::stats::{Activity, DecoderStats, GraphStats, Health};
use crate::turnstile::Turnstile;
use crate::{EngineError, golden};

/// A model that is being served: its stateless graphs and, if it has a step graph, its decoder.
pub struct Model {
    manifest: Manifest,
    device: Device,
    graphs: BTreeMap<String, GraphHandle>,
    decoders: BTreeMap<String, Decoder>,
}

impl Model {
    /// The model's name.
    pub fn name(&self) -> &PackageName {
        &self.manifest.name
    }

    /// The model's version.
    pub fn version(&self) -> Version {
        self.manifest.version
    }

    /// What it can be used for.
    pub fn kind(&self) -> Kind {
        self.manifest.kind
    }

    /// What its package says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A stateless graph by name.
    pub fn graph(&self, name: &str) -> Result<&GraphHandle, EngineError> {
        self.graphs.get(name).ok_or_else(|| self.unknown(name, self.graphs.keys()))
    }

    /// The stateless graphs by name.
    pub fn graphs(&self) -> impl Iterator<Item = (&str, &GraphHandle)> {
        self.graphs.iter().map(|(name, graph)| (name.as_str(), graph))
    }

    /// Runs a stateless graph; see [`GraphHandle::run`].
    pub async fn run(
        &self,
        graph: &str,
        inputs: Vec<Tensor>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Tensor>, EngineError> {
        self.graph(graph)?.run(inputs, deadline).await
    }

    /// The decoder of the graph `step`.
    pub fn decoder(&self) -> Result<&Decoder, EngineError> {
        self.decoders.get("step").ok_or_else(|| self.unknown("step", self.decoders.keys()))
    }

    /// Whether all of its graphs are served.
    pub fn health(&self) -> Health {
        let graphs = self.graphs.values().map(GraphHandle::health);
        graphs.chain(self.decoders.values().map(Decoder::health)).fold(Health::Ready, Health::worse)
    }

    /// What its stateless graphs are doing.
    pub fn graph_stats(&self) -> Vec<(String, GraphStats)> {
        self.graphs.iter().map(|(name, g)| (name.clone(), g.stats())).collect()
    }

    /// What its step graphs are doing.
    pub fn decoder_stats(&self) -> Vec<(String, DecoderStats)> {
        self.decoders.iter().map(|(name, d)| (name.clone(), d.stats())).collect()
    }

    pub(crate) fn tick(&self) {
        self.graphs.values().for_each(GraphHandle::tick);
    }

    /// What all of its graphs are doing, in one shape.
    pub fn activity(&self) -> Vec<Activity> {
        let graphs = self.graphs.iter().map(|(name, graph)| graph.activity(name));
        graphs.chain(self.decoders.iter().map(|(name, decoder)| decoder.activity(name))).collect()
    }

    pub(crate) fn drain(&self) {
        self.graphs.values().for_each(GraphHandle::drain);
        self.decoders.values().for_each(Decoder::drain);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.graphs.values().all(GraphHandle::is_idle) && self.decoders.values().all(Decoder::is_idle)
    }

    pub(crate) fn stop(&self) {
        self.drain();
        self.graphs.values().for_each(GraphHandle::stop);
        self.decoders.values().for_each(Decoder::stop);
    }

    fn unknown<'a>(&self, graph: &str, known: impl Iterator<Item = &'a String>) -> EngineError {
        EngineError::UnknownGraph {
            model: format!("{}/{}", self.name(), self.version()),
            graph: graph.to_owned(),
            known: known.cloned().collect(),
        }
    }

    /// What the plan needs to know about a package's graphs, in their order.
    pub(crate) fn loads(package: &Package) -> Vec<GraphLoad> {
        let load = |g: &GraphSpec| GraphLoad { name: full_name(package, g), step: g.is_step(), weight: 1.0 };
        package.manifest().graphs.iter().map(load).collect()
    }

    /// Opens the sessions of a package, holds them to its golden outputs, finds the batch sizes, and starts the
    /// workers. `plans` are for the graphs in their order.
    pub(crate) fn load(
        package: &Package,
        plans: &[GraphPlan],
        config: &Config,
        runtime: &'static Runtime,
        turnstile: &Arc<Turnstile>,
    ) -> Result<Self, EngineError> {
        let mut model = Self {
            manifest: package.manifest().clone(),
            device: config.device,
            graphs: BTreeMap::new(),
            decoders: BTreeMap::new(),
        };
        for (spec, plan) in package.manifest().graphs.iter().zip(plans) {
            let loaded = model.load_graph(package, spec, plan, config, runtime, turnstile);
            // Threads of the graphs before it would otherwise live on.
            loaded.inspect_err(|_| model.stop())?;
        }
        Ok(model)
    }

    fn load_graph(
        &mut self,
        package: &Package,
        spec: &GraphSpec,
        plan: &GraphPlan,
        config: &Config,
        runtime: &'static Runtime,
        turnstile: &Arc<Turnstile>,
    ) -> Result<(), EngineError> {
        let name = full_name(package, spec);
        let onnx = package.graph_bytes(&spec.name)?;
        let spec = Arc::new(spec.clone());
        let factory: Factory = {
            let (spec, device, threads) = (Arc::clone(&spec), config.device, plan.threads);
            Arc::new(move || {
                let session = GraphSession::open(runtime, &onnx, Arc::clone(&spec), device, threads)?;
                Ok(Box::new(session) as Box<dyn Runner>)
            })
        };
        let mut first = factory()?;
        let worst = golden::check(first.as_mut(), &spec, package.golden())?;
        let none = GoldenCase::default();
        let case = package.golden().cases.get(&spec.name).unwrap_or(&none);
        let (threads, turnstile) = (plan.threads, Arc::clone(turnstile));
        let step = spec.is_step();
        let sizes = if step || joinable(&spec) {
            let max = if step { config.slots } else { config.max_batch };
            Sizes::probe(first.as_mut(), &spec, case, max, config.batching)?
        } else {
            Sizes::single()
        };
        tracing::info!(graph = name, golden_error = worst, batch_sizes = ?sizes.as_slice(), "loaded a graph");
        if step {
            let shape = Arc::new(StepShape::of(&spec)?);
            let setup = decoder::Setup {
                name,
                spec: Arc::clone(&spec),
                shape,
                sizes,
                slots: config.slots,
                waiting: config.waiting,
                buffer: config.stream_buffer,
                threads,
                turnstile,
                factory,
            };
            self.decoders.insert(spec.name.clone(), Decoder::start(setup, first)?);
            return Ok(());
        }
        let mut runners = vec![first];
        while runners.len() < plan.workers {
            runners.push(factory()?);
        }
        let setup = batcher::Setup {
            name,
            joinable: joinable(&spec),
            spec: Arc::clone(&spec),
            sizes,
            queue_rows: config.queue_rows,
            queue_requests: config.queue_requests,
            queue_bytes: config.queue_bytes,
            longest_run: config.longest_run,
            threads,
            turnstile,
            factory,
        };
        self.graphs.insert(spec.name.clone(), GraphHandle::start(setup, runners)?);
        Ok(())
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", self.name())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

fn full_name(package: &Package, graph: &GraphSpec) -> String {
    format!("{}/{}/{}", package.name(), package.version(), graph.name)
}

/// Whether requests can be joined row by row: every input and output begins with `batch`, and nothing else is
/// open (rows of different sizes cannot lie in one tensor).
fn joinable(spec: &GraphSpec) -> bool {
    spec.inputs.iter().chain(&spec.outputs).all(|s| {
        let symbols = s.shape.iter().filter(|d| matches!(d, atelier_package::Dim::Symbol(_))).count();
        s.batch_axis() == Some(0) && symbols == 1
    })
}
