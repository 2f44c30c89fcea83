//! The models of a role: which one a request means, and what there is.
//!
//! A request names a model and a version, or leaves either open: without a version the newest is meant,
//! without a name the default of the kind that the method needs, which is the first by name.

mod choose;
mod describe;
pub mod graph;
mod service;

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
    choose::choose(engine.models(), name, version, kinds).cloned()
}

/// What a response says of the model that answered.
pub fn model_version(model: &Model) -> ModelVersion {
    ModelVersion { name: model.name().to_string(), version: model.version().get() }
}
