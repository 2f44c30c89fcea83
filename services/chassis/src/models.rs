//! The models of a role: which one a request means, and what there is.
//!
//! A request names a model and a version, or leaves either open: without a version the newest is meant,
//! without a name the default of the kind that the method needs, which is the first by name.

mod choose;
mod describe;
pub mod graph;
mod service;

use std::collections::BTreeSet;
use std::sync::Arc;

use atelier_engine::{Engine, Model};
use atelier_package::Kind;
use atelier_proto::models::v1::ModelVersion;

use crate::ServiceError;

pub use service::RoleModels;

/// The model that a request means by `name` and `version`, of one of `kinds`: those that the method can
/// use. Where the request names none, the kinds are tried in their order.
///
/// Errors: NOT_FOUND with what exists, where there is no such model or version; INVALID_ARGUMENT naming
/// `model` where there is, but its kind has no such method.
pub fn resolve(
    engine: &Engine,
    name: &str,
    version: u32,
    kinds: &[Kind],
) -> Result<Arc<Model>, ServiceError> {
    choose::choose(&engine.models(), name, version, kinds).cloned()
}

/// As [`resolve`], for a method that needs a graph which not every model of these kinds has. Where the
/// request names no model, those without it are passed over.
///
/// Errors: as [`resolve`], and INVALID_ARGUMENT naming `model` where that model has no such graph.
pub fn resolve_with_graph(
    engine: &Engine,
    name: &str,
    version: u32,
    kinds: &[Kind],
    graph: &str,
) -> Result<Arc<Model>, ServiceError> {
    let has = |model: &Arc<Model>| model.manifest().graph(graph).is_some();
    let models = engine.models();
    let able: Vec<Arc<Model>> = models.iter().filter(|model| has(model)).cloned().collect();
    if name.is_empty() {
        return choose::choose(&able, name, version, kinds).cloned();
    }
    let model = choose::choose(&models, name, version, kinds)?;
    if has(model) {
        return Ok(Arc::clone(model));
    }
    let able = able.iter().filter(|model| kinds.contains(&model.kind()));
    let names: BTreeSet<&str> = able.map(|model| model.name().as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let known = match names.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there is: {}", names.join(", ")),
    };
    let message = format!("is {name}, but this method needs a model with a {graph}; {known}");
    Err(ServiceError::invalid("model", message))
}

/// What a response says of the model that answered.
pub fn model_version(model: &Model) -> ModelVersion {
    ModelVersion { name: model.name().to_string(), version: model.version().get() }
}
