//! The health of a role follows that of its models.

use std::time::Duration;

use atelier_chassis::Health;
use atelier_chassis::health::OVERALL;
use atelier_engine::{Engine, Health as Worker};
use atelier_proto::inference::grpc_inference_service_server::SERVICE_NAME as INFERENCE_SERVICE;
use tokio::task::JoinHandle;

use super::role::Domain;

/// How often the models are looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Keeps the health of a role up to date, until the task is aborted.
pub(super) fn follow(health: Health, engine: Engine, domain: Domain) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            update(&health, &engine, domain);
        }
    })
}

/// Says that the role, and its services, are served if any of its models is.
pub(super) fn update(health: &Health, engine: &Engine, domain: Domain) {
    let serving = serves(engine, domain);
    if health.is_serving(domain.service()) != Some(serving) {
        tracing::info!(role = domain.name(), serving, "the health of the models has changed");
        health.set(domain.service(), serving);
        health.set(INFERENCE_SERVICE, serving);
        health.set(OVERALL, serving);
    }
}

/// Whether any model of a role takes work.
pub(super) fn serves(engine: &Engine, domain: Domain) -> bool {
    let models = engine.models();
    let mut own = models.iter().filter(|model| domain.kinds().contains(&model.kind()));
    own.any(|model| matches!(model.health(), Worker::Ready | Worker::Degraded))
}
