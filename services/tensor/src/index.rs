//! What there is, and what it has done.

use std::time::{Duration, SystemTime};

use atelier_chassis::ServiceError;
use atelier_engine::{GraphStats, Health};
use atelier_proto::inference as api;
use atelier_proto::inference::repository_index_response::ModelIndex;

use crate::catalog::{Catalog, Target, version_text};

/// Whether a model takes requests.
pub(crate) fn ready(target: &Target) -> bool {
    matches!(target.model.health(), Health::Ready | Health::Degraded)
}

/// Every model of the role, and those that could not be loaded: sorted by name and version.
pub(crate) fn repository(catalog: &Catalog, only_ready: bool) -> api::RepositoryIndexResponse {
    let entry = |target: &Target| {
        let ready = ready(target);
        ModelIndex {
            name: target.name.clone(),
            version: version_text(target),
            state: if ready { "READY" } else { "UNAVAILABLE" }.into(),
            reason: if ready { String::new() } else { "is being rebuilt or shut down".into() },
        }
    };
    let mut models: Vec<ModelIndex> = catalog.targets().iter().map(entry).collect();
    models.retain(|model| !only_ready || model.state == "READY");
    api::RepositoryIndexResponse { models }
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
