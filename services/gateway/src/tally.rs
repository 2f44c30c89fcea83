//! What was forwarded to each role, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atelier_chassis::metrics::Exposition;
use atelier_chassis::{Health, Metrics};

use crate::backend::Backend;

/// What was forwarded to one role.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    begun: AtomicU64,
    over: AtomicU64,
    unreachable: AtomicU64,
    broke_off: AtomicU64,
}

impl Tally {
    /// The role could not be reached.
    pub(crate) fn unreachable(&self) {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
    }

    /// The role's answer broke off.
    pub(crate) fn broke_off(&self) {
        self.broke_off.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call that is being forwarded. Dropped, it is over.
#[derive(Debug)]
pub(crate) struct Forwarded {
    backend: Arc<Backend>,
}

impl Forwarded {
    /// To this role.
    pub(crate) fn begin(backend: Arc<Backend>) -> Self {
        backend.tally.begun.fetch_add(1, Ordering::Relaxed);
        Self { backend }
    }

    /// The role.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.backend.tally.over.fetch_add(1, Ordering::Relaxed);
    }
}

/// Shows what is forwarded, and which services the gateway takes for served.
pub(crate) fn watch(metrics: &Metrics, backends: &[Arc<Backend>], health: Health) {
    let backends = backends.to_vec();
    metrics.add(move |exposition| {
        for backend in &backends {
            show(backend, &health, exposition);
        }
    });
}

fn show(backend: &Backend, health: &Health, exposition: &mut Exposition) {
    let labels = [("backend", &*backend.role)];
    let [role] = labels;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    // In this order: what begins in between must not make it negative.
    let over = read(&backend.tally.over);
    let begun = read(&backend.tally.begun);
    exposition.counter(
        "atelier_gateway_forwarded_total",
        "Calls that were forwarded to a role.",
        &labels,
        begun as f64,
    );
    exposition.gauge(
        "atelier_gateway_in_flight",
        "Calls that are being forwarded to a role, streams until their end.",
        &labels,
        begun.saturating_sub(over) as f64,
    );
    for (reason, count) in
        [("unreachable", &backend.tally.unreachable), ("broke_off", &backend.tally.broke_off)]
    {
        exposition.counter(
            "atelier_gateway_lost_total",
            "Calls to a role that could not be reached, or whose answer broke off.",
            &[role, ("reason", reason)],
            read(count) as f64,
        );
    }
    for (again, count) in backend.upstream.counts().again() {
        exposition.counter(
            "atelier_gateway_retries_total",
            "Calls that were sent again, to another endpoint where there is one, before any of an answer.",
            &[role, ("reason", again.name())],
            count as f64,
        );
    }
    exposition.counter(
        "atelier_gateway_retries_refused_total",
        "Calls that were not sent again because too many others had been of late.",
        &labels,
        backend.upstream.counts().over_budget() as f64,
    );
    exposition.counter(
        "atelier_gateway_ejections_total",
        "How often an endpoint that kept failing was left alone for a while.",
        &labels,
        backend.upstream.counts().left_alone() as f64,
    );
    let endpoints = backend.upstream.endpoints().borrow().clone();
    let ejected = endpoints.iter().filter(|endpoint| endpoint.is_out()).count();
    for (state, count) in [("ejected", ejected), ("in_use", endpoints.len() - ejected)] {
        exposition.gauge(
            "atelier_gateway_endpoints",
            "Addresses that a role was found at, and whether calls go there.",
            &[role, ("state", state)],
            count as f64,
        );
    }
    for service in backend.services.iter().chain([&backend.tensors()]) {
        exposition.gauge(
            "atelier_gateway_service_serving",
            "Whether a role says that it serves a service, or raw tensors as inference/ROLE; else 0.",
            &[role, ("service", service)],
            f64::from(u8::from(health.is_serving(service) == Some(true))),
        );
    }
}
