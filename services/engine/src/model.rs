//! One version of a model, loaded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use atelier_package::{GraphSpec, Kind, Manifest, Package, PackageName, Tensor, Version};

use crate::EngineError;
use crate::batcher::{self, GraphHandle};
use crate::calibration::{Calibration, GraphCalibration};
use crate::decoder::shape::StepShape;
use crate::decoder::{self, Decoder};
use crate::engine::Config;
use crate::opening::{self, Opened};
use crate::plan::{GraphLoad, GraphPlan};
use crate::runtime::stop::LAST_RUN;
use crate::runtime::{Device, Runtime};
use crate::stats::{Activity, DecoderStats, GraphStats, Health};
use crate::turnstile::Turnstile;

/// A model that is being served: its stateless graphs and, if it has a step graph, its decoder.
pub struct Model {
    manifest: Manifest,
    device: Device,
    graphs: BTreeMap<String, GraphHandle>,
    decoders: BTreeMap<String, Decoder>,
    measured: Vec<GraphCalibration>,
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
        self.decoders.values().for_each(Decoder::tick);
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

    /// Gives up all that is under way, and tells the workers to end.
    pub(crate) fn end(&self) {
        self.graphs.values().for_each(GraphHandle::end);
        self.decoders.values().for_each(Decoder::end);
    }

    /// Joins the workers that were told to [end](Self::end); those that have not by then are left behind.
    pub(crate) fn join(&self, by: Instant) {
        self.graphs.values().for_each(|graph| graph.join(by));
        self.decoders.values().for_each(|decoder| decoder.join(by));
    }

    /// Both. Takes no longer than a few seconds, whatever a run does.
    pub(crate) fn stop(&self) {
        self.end();
        self.join(Instant::now() + LAST_RUN);
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

    /// Opens the sessions of a package, holds them to its golden outputs, finds how they do best, and starts the
    /// workers. `plans` are for the graphs in their order; what is `known` is not measured again.
    pub(crate) fn load(
        package: &Package,
        plans: &[GraphPlan],
        known: Option<&Calibration>,
        config: &Config,
        runtime: &'static Runtime,
        turnstile: &Arc<Turnstile>,
    ) -> Result<Self, EngineError> {
        let mut model = Self {
            manifest: package.manifest().clone(),
            device: config.device,
            graphs: BTreeMap::new(),
            decoders: BTreeMap::new(),
            measured: Vec::new(),
        };
        for (spec, plan) in package.manifest().graphs.iter().zip(plans) {
            let spec = Arc::new(spec.clone());
            let opened = opening::open(package, &spec, plan, config, runtime, known);
            let started = opened.and_then(|opened| model.start(spec, plan, opened, config, turnstile));
            // Threads of the graphs before it would otherwise live on.
            started.inspect_err(|_| model.stop())?;
        }
        Ok(model)
    }

    fn start(
        &mut self,
        spec: Arc<GraphSpec>,
        plan: &GraphPlan,
        opened: Opened,
        config: &Config,
        turnstile: &Arc<Turnstile>,
    ) -> Result<(), EngineError> {
        self.measured.push(opened.calibration(&spec));
        let Opened { runners, factory, threads, sizes, joinable, divided, companions } = opened;
        let (name, turnstile, key) = (plan.name.clone(), Arc::clone(turnstile), spec.name.clone());
        if !spec.is_step() {
            let setup = batcher::Setup {
                name,
                joinable,
                spec,
                sizes,
                queue_rows: config.queue_rows,
                queue_requests: config.queue_requests,
                queue_bytes: config.queue_bytes,
                longest_run: config.longest_run,
                max_queue_delay: config.max_queue_delay,
                threads,
                turnstile,
                factory,
            };
            self.graphs.insert(key, GraphHandle::start(setup, runners)?);
            return Ok(());
        }
        let shape = Arc::new(StepShape::of(&spec)?);
        let setup = decoder::Setup {
            name,
            spec,
            shape,
            sizes,
            slots: config.slots,
            waiting: config.waiting,
            buffer: config.stream_buffer,
            longest_run: config.longest_run,
            threads,
            turnstile,
            factory,
            divided,
        };
        self.decoders.insert(key, Decoder::start(setup, runners, companions)?);
        Ok(())
    }

    /// What was measured of its graphs, in their order.
    pub(crate) fn measured(&self) -> &[GraphCalibration] {
        &self.measured
    }

    /// The workers and threads that its graphs came to have.
    pub(crate) fn plans(&self) -> impl Iterator<Item = GraphPlan> + '_ {
        let prefix = format!("{}/{}", self.name(), self.version());
        self.measured.iter().map(move |graph| GraphPlan {
            name: format!("{prefix}/{}", graph.name),
            workers: graph.workers,
            threads: graph.threads,
            few: graph.few.unwrap_or_default(),
        })
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
