//! Whom the door turned away, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use atelier_chassis::metrics::Exposition;

/// Why somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    NoKey,
    UnknownKey,
    Service,
    Rate,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::Service => "service",
            Self::Rate => "rate",
        }
    }
}

/// Counts by the names of known keys: what callers make up makes no series.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(String, Reason), u64>>);

impl Refusals {
    pub(super) fn count(&self, key: Option<&str>, reason: Reason) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((key.unwrap_or_default().to_owned(), reason)).or_default() += 1;
    }

    pub(super) fn show(&self, exposition: &mut Exposition) {
        for ((key, reason), count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            exposition.counter(
                "atelier_gateway_refused_total",
                "Calls that were turned away at the door, by the name of the key that they showed.",
                &[("key", key), ("reason", reason.label())],
                *count as f64,
            );
        }
    }
}
