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

    /// A series for every key of these names and for callers without one, before the first of them is turned
    /// away: else the first would be no increase. Keys that are gone keep theirs.
    pub(super) fn show<'a>(&self, names: impl Iterator<Item = &'a str>, exposition: &mut Exposition) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nobody = [Reason::NoKey, Reason::UnknownKey].map(|reason| (String::new(), reason));
        let known =
            names.flat_map(|name| [Reason::Service, Reason::Rate].map(|reason| (name.to_owned(), reason)));
        for series in known.chain(nobody) {
            counts.entry(series).or_default();
        }
        for ((key, reason), count) in &counts {
            exposition.counter(
                "atelier_gateway_refused_total",
                "Calls that were turned away at the door, by the name of the key that they showed.",
                &[("key", key), ("reason", reason.label())],
                *count as f64,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use atelier_chassis::Metrics;

    use super::*;

    fn shown(refusals: &Arc<Refusals>, name: &'static str) -> String {
        let (metrics, refusals) = (Metrics::default(), Arc::clone(refusals));
        metrics.add(move |exposition| refusals.show([name].into_iter(), exposition));
        metrics.text().unwrap()
    }

    fn line(key: &str, reason: &str, count: u64) -> String {
        format!("atelier_gateway_refused_total{{key=\"{key}\",reason=\"{reason}\"}} {count}\n")
    }

    #[test]
    fn a_series_is_there_before_anybody_is_turned_away_and_stays_when_its_key_is_gone() {
        let refusals = Arc::new(Refusals::default());
        let before = shown(&refusals, "ci");
        for (key, reason) in [("", "no_key"), ("", "unknown_key"), ("ci", "service"), ("ci", "rate")] {
            assert!(before.contains(&line(key, reason, 0)), "{before}");
        }
        refusals.count(Some("ci"), Reason::Rate);
        refusals.count(None, Reason::UnknownKey);
        let after = shown(&refusals, "web");
        for (key, reason, count) in [("ci", "rate", 1), ("", "unknown_key", 1), ("web", "rate", 0)] {
            assert!(after.contains(&line(key, reason, count)), "{after}");
        }
        assert!(!after.contains("key=\"ci\",reason=\"service\""), "{after}");
    }
}
