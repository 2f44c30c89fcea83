//! Which model and graph a request means.

use std::collections::BTreeSet;
use std::sync::Arc;

use atelier_chassis::ServiceError;
use atelier_engine::{Engine, GraphHandle, Model};
use atelier_package::{GraphSpec, Kind};

use crate::name;

/// The models of one role, of an engine that may be shared with others.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pub(crate) engine: Engine,
    kinds: &'static [Kind],
}

/// A graph of a model.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As the request named it, which is what answers call it.
    pub(crate) name: String,
    pub(crate) model: Arc<Model>,
    graph: usize,
}

impl Target {
    pub(crate) fn spec(&self) -> Option<&GraphSpec> {
        self.model.manifest().graphs.get(self.graph)
    }

    /// What runs the graph.
    ///
    /// # Errors
    /// UNIMPLEMENTED for a graph that keeps a state from step to step.
    pub(crate) fn handle(&self) -> Result<&GraphHandle, ServiceError> {
        let spec = self.spec().ok_or_else(|| ServiceError::internal("a graph that its manifest lacks"))?;
        if spec.is_step() {
            return Err(ServiceError::unimplemented(format!(
                "model_name: {} is a graph that keeps a state from step to step: it is not run on raw tensors, but \
                 by the streams of the service for models of kind {}",
                self.name,
                self.model.kind()
            )));
        }
        Ok(self.model.graph(&spec.name)?)
    }
}

impl Catalog {
    /// The models of these kinds.
    pub(crate) fn new(engine: Engine, kinds: &'static [Kind]) -> Self {
        Self { engine, kinds }
    }

    /// The packages, in the order of the engine.
    pub(crate) fn models(&self) -> Vec<Arc<Model>> {
        self.engine.models().iter().filter(|model| self.kinds.contains(&model.kind())).cloned().collect()
    }

    /// Every graph of every package, sorted by name and version.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let of = |model: &Arc<Model>| {
            let names = name::all(model.manifest()).map(|(name, _)| name);
            names
                .enumerate()
                .map(|(graph, name)| Target { name, model: Arc::clone(model), graph })
                .collect::<Vec<_>>()
        };
        let mut targets: Vec<Target> = self.models().iter().flat_map(of).collect();
        targets.sort_by(|a, b| (&a.name, a.model.version()).cmp(&(&b.name, b.model.version())));
        targets
    }

    /// The graph that a request means; `field` is what the request calls the name.
    ///
    /// # Errors
    /// INVALID_ARGUMENT where the name is missing or means several graphs; NOT_FOUND with what exists.
    pub(crate) fn find(
        &self,
        field: &'static str,
        wanted: &str,
        version: &str,
    ) -> Result<Target, ServiceError> {
        let versions = self.versions(field, wanted)?;
        let chosen = match version {
            "" => versions.into_iter().max_by_key(|target| target.model.version()),
            text => {
                let known: Vec<String> = versions.iter().map(version_text).collect();
                let found = versions.into_iter().find(|target| version_text(target) == text);
                return found.ok_or_else(|| {
                    ServiceError::not_found("version", format!("{wanted}/{}", short(text)), known)
                });
            }
        };
        chosen.ok_or_else(|| self.unknown(wanted))
    }

    /// Every version of the graph that a name means.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn versions(&self, field: &'static str, wanted: &str) -> Result<Vec<Target>, ServiceError> {
        if wanted.is_empty() {
            return Err(ServiceError::invalid(field, "is empty, but must name a model"));
        }
        let (package, graph) = name::split(wanted);
        let mut found = Vec::new();
        let mut several = BTreeSet::new();
        for model in self.models().into_iter().filter(|model| model.name().as_str() == package) {
            let graphs = &model.manifest().graphs;
            let at = match graph {
                Some(graph) => graphs.iter().position(|spec| spec.name == graph),
                None if graphs.len() == 1 => Some(0),
                None => {
                    several.extend(name::all(model.manifest()).map(|(name, _)| name));
                    None
                }
            };
            found.extend(at.map(|graph| Target {
                name: wanted.to_owned(),
                model: Arc::clone(&model),
                graph,
            }));
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match several.is_empty() {
            true => Err(self.unknown(wanted)),
            false => {
                let several: Vec<String> = several.into_iter().collect();
                let message = format!(
                    "is {wanted}, which has several graphs; name one of them: {}",
                    several.join(", ")
                );
                Err(ServiceError::invalid(field, message))
            }
        }
    }

    fn unknown(&self, wanted: &str) -> ServiceError {
        let known: BTreeSet<String> = self.targets().into_iter().map(|target| target.name).collect();
        ServiceError::not_found("model", short(wanted), known)
    }
}

/// A version as the protocol has it.
pub(crate) fn version_text(target: &Target) -> String {
    target.model.version().get().to_string()
}

/// What a caller made up need not be repeated in full.
pub(crate) fn short(text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
