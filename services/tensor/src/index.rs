//! What there is, and what it has done.

use std::time::{Duration, SystemTime};

use atelier_chassis::ServiceError;
use atelier_engine::{EngineError, GraphStats, Health};
use atelier_proto::inference as api;
use atelier_proto::inference::repository_index_response::ModelIndex;

use crate::catalog::{Catalog, Target, version_text};

/// The states of models, in Triton's words.
const READY: &str = "READY";
const UNAVAILABLE: &str = "UNAVAILABLE";

/// Whether a model takes requests.
pub(crate) fn ready(target: &Target) -> bool {
    matches!(target.model.health(), Health::Ready | Health::Degraded)
}

/// Every model of the role, and the versions of them that could not be loaded: sorted by name and version.
///
/// A package of which no version is loaded is not among them. Of what kind it is, and so whose, the engine does not
/// say, and the gateway would ask the wrong role for it; the log and `atelier_engine_models_not_loaded` tell of it.
pub(crate) fn repository(catalog: &Catalog, only_ready: bool) -> api::RepositoryIndexResponse {
    let targets = catalog.targets();
    let entry = |target: &Target| {
        let ready = ready(target);
        let index = ModelIndex {
            name: target.name.clone(),
            version: version_text(target),
            state: if ready { READY } else { UNAVAILABLE }.into(),
            reason: if ready { String::new() } else { "is being rebuilt or shut down".into() },
        };
        (target.model.version().get(), index)
    };
    let mut models: Vec<(u32, ModelIndex)> = targets.iter().map(entry).collect();
    models.extend(not_loaded(catalog, &targets));
    models.retain(|(_, model)| !only_ready || model.state == READY);
    models.sort_by(|(version, a), (other, b)| (&a.name, version).cmp(&(&b.name, other)));
    api::RepositoryIndexResponse { models: models.into_iter().map(|(_, model)| model).collect() }
}

/// The versions that could not be loaded, with their numbers, under the names that the newest loaded version has.
fn not_loaded(catalog: &Catalog, targets: &[Target]) -> Vec<(u32, ModelIndex)> {
    let mut found = Vec::new();
    for not in catalog.engine.not_loaded().iter() {
        let versions = targets.iter().filter(|target| *target.model.name() == not.name);
        let newest = versions.clone().map(|target| target.model.version()).max();
        for target in versions.filter(|target| Some(target.model.version()) == newest) {
            let index = ModelIndex {
                name: target.name.clone(),
                version: not.version.to_string(),
                state: UNAVAILABLE.into(),
                reason: reason(&not.error),
            };
            found.push((not.version.get(), index));
        }
    }
    found
}

/// What is wrong with a package is for whoever sees the index; what the runtime or the machine said is for the log.
fn reason(error: &EngineError) -> String {
    match error {
        EngineError::Package(wrong) => wrong.clone(),
        _ => "could not be loaded; the log says why".into(),
    }
}

/// What the graphs have done that a request means; an empty name means all of them.
///
/// # Errors
/// NOT_FOUND for a model or version that is not there; UNIMPLEMENTED for a named graph that keeps a state.
pub(crate) fn statistics(
    catalog: &Catalog,
    name: &str,
    version: &str,
) -> Result<api::ModelStatisticsResponse, ServiceError> {
    let targets = match (name, version) {
        ("", _) => catalog.targets(),
        (name, "") => catalog.versions("name", name)?,
        (name, version) => vec![catalog.find("name", name, version)?],
    };
    let mut model_stats = Vec::with_capacity(targets.len());
    for target in &targets {
        match target.handle() {
            Ok(handle) => model_stats.push(of(target, handle.stats())),
            Err(_) if name.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(api::ModelStatisticsResponse { model_stats })
}

fn of(target: &Target, stats: GraphStats) -> api::ModelStatistics {
    let sum = |count: u64, time: Duration| {
        Some(api::StatisticDuration { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
    };
    let answered = stats.answered;
    let failed = stats.failed.saturating_add(stats.expired);
    let inference_stats = api::InferStatistics {
        success: sum(answered, stats.answered_time),
        fail: sum(failed, stats.failed_time),
        queue: sum(answered, stats.queued_time),
        compute_input: sum(answered, Duration::ZERO),
        compute_infer: sum(answered, stats.computed_time),
        compute_output: sum(answered, Duration::ZERO),
    };
    let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    api::ModelStatistics {
        name: target.name.clone(),
        version: version_text(target),
        last_inference: stats.last_answer.map_or(0, |at| u64::try_from(since(at)).unwrap_or(u64::MAX)),
        inference_count: stats.rows,
        execution_count: stats.batches,
        inference_stats: Some(inference_stats),
    }
}
