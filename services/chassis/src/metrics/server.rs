//! Whether a role's server is ready, and how its drain goes.

use std::time::{Duration, SystemTime};

use super::Metrics;
use crate::drain::Drain;
use crate::health::OVERALL;
use crate::{Health, ShutdownConfig};

/// Shows a server's readiness and drain from now on.
pub(crate) fn watch(metrics: &Metrics, role: &str, health: Health, drain: Drain, config: &ShutdownConfig) {
    let (role, limit) = (role.to_owned(), config.not_ready_wait + config.drain);
    metrics.add(move |exposition| {
        let labels = [("role", &*role)];
        let ready = health.is_serving(OVERALL) == Some(true);
        exposition.gauge(
            "atelier_ready",
            "Whether health says SERVING for the role as a whole.",
            &labels,
            flag(ready),
        );
        let since = drain.stopping_since();
        exposition.gauge(
            "atelier_draining",
            "Whether the role was told to stop.",
            &labels,
            flag(since.is_some()),
        );
        exposition.gauge(
            "atelier_drain_limit_seconds",
            "How long a drain may take before requests are cut off.",
            &labels,
            limit.as_secs_f64(),
        );
        let taken = since.and_then(|since| SystemTime::now().duration_since(since).ok());
        exposition.gauge(
            "atelier_drain_seconds",
            "How long the role has been draining; 0 where it is not.",
            &labels,
            taken.unwrap_or(Duration::ZERO).as_secs_f64(),
        );
        exposition.counter(
            "atelier_drain_cut_requests_total",
            "Requests that were cut off because a drain took too long.",
            &labels,
            drain.were_cut() as f64,
        );
    });
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}
