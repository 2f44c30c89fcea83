//! What a run must stay within: ratios, read from `deploy/ghz/limits.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{measured::Measured, memory::Memory};

/// The limits of all profiles, and of single ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// The least part of the asked calls a second that must have been made.
    least_rate: f64,
    /// The part of calls that may end otherwise than expected.
    most_errors: f64,
    most_p99_to_p50: f64,
    /// The profile that the middle calls of all are compared with.
    pub(crate) baseline: String,
    most_p50_to_baseline: f64,
    /// The memory of the last quarter of a soak over that of the second one.
    most_memory_growth: f64,
    #[serde(default)]
    profile: BTreeMap<String, Own>,
}

/// Limits of one profile.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    most_p99_to_p50: Option<f64>,
    most_p50_to_baseline: Option<f64>,
}

impl Limits {
    /// What a profile's figures cross, one line each.
    pub(crate) fn crossed(
        &self,
        profile: &str,
        measured: &Measured,
        baseline: Option<&Measured>,
    ) -> Vec<String> {
        let own = self.profile.get(profile).cloned().unwrap_or_default();
        let mut crossed = Vec::new();
        let mut most = |what: &str, had: f64, most: f64| {
            if had > most {
                crossed.push(format!("{profile}: {what} is {had:.2}, over {most:.2}"));
            }
        };
        let errors = measured.errors as f64 / measured.calls.max(1) as f64;
        most("the part of calls in error", errors, self.most_errors);
        let spread = own.most_p99_to_p50.unwrap_or(self.most_p99_to_p50);
        most("p99 over p50", measured.spread(), spread);
        if let Some(ratio) = ratio(measured, baseline) {
            let limit = own.most_p50_to_baseline.unwrap_or(self.most_p50_to_baseline);
            most(&format!("p50 over that of {}", self.baseline), ratio, limit);
        }
        let rate = measured.had / measured.asked;
        if measured.asked > 0.0 && rate < self.least_rate {
            crossed.push(format!(
                "{profile}: the part of calls made is {rate:.2}, under {:.2}",
                self.least_rate
            ));
        }
        crossed
    }

    /// The same for the memory of a soak.
    pub(crate) fn memory_crossed(&self, memory: &Memory) -> Option<String> {
        let growth = memory.growth().filter(|growth| *growth > self.most_memory_growth)?;
        Some(format!("memory grew to {growth:.3} of what it was, over {:.3}", self.most_memory_growth))
    }
}

/// The middle call over that of the baseline.
pub(crate) fn ratio(measured: &Measured, baseline: Option<&Measured>) -> Option<f64> {
    baseline.filter(|baseline| baseline.p50_ms > 0.0).map(|baseline| measured.p50_ms / baseline.p50_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        toml::from_str(
            "least_rate = 0.9\nmost_errors = 0.0\nmost_p99_to_p50 = 5\nbaseline = \"list\"\n\
             most_p50_to_baseline = 10\nmost_memory_growth = 1.1\n[profile.slow]\nmost_p50_to_baseline = 100\n",
        )
        .unwrap()
    }

    fn measured(p50_ms: f64, p99_ms: f64) -> Measured {
        Measured {
            calls: 100,
            asked: 10.0,
            had: 10.0,
            p50_ms,
            p95_ms: p50_ms,
            p99_ms,
            codes: BTreeMap::new(),
            errors: 0,
            error: String::new(),
        }
    }

    #[test]
    fn each_limit_that_is_crossed_is_said_with_both_figures() {
        let baseline = measured(1.0, 1.0);
        let crossed = |name: &str, measured: &Measured| limits().crossed(name, measured, Some(&baseline));
        assert!(crossed("fast", &measured(10.0, 50.0)).is_empty());
        assert_eq!(crossed("fast", &measured(2.0, 12.0)), ["fast: p99 over p50 is 6.00, over 5.00"]);
        assert_eq!(
            crossed("fast", &measured(11.0, 11.0)),
            ["fast: p50 over that of list is 11.00, over 10.00"]
        );
        assert!(crossed("slow", &measured(11.0, 11.0)).is_empty(), "it has a limit of its own");
        let bad = Measured { errors: 1, had: 5.0, ..measured(1.0, 1.0) };
        assert_eq!(
            crossed("fast", &bad),
            [
                "fast: the part of calls in error is 0.01, over 0.00",
                "fast: the part of calls made is 0.50, under 0.90"
            ]
        );
    }

    #[test]
    fn memory_may_grow_a_little_and_no_more() {
        let memory = |last: u64| Memory { samples: [900, 1000, 1000, last].map(|kib| kib * 1024).to_vec() };
        assert_eq!(limits().memory_crossed(&memory(1050)), None);
        let said = limits().memory_crossed(&memory(1200)).unwrap();
        assert!(said.contains("1.200") && said.contains("1.100"), "{said}");
    }

    #[test]
    fn the_shipped_limits_name_profiles_that_there_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ghz");
        let limits: Limits = crate::load::profile::read_toml(&folder.join("limits.toml")).unwrap();
        for name in limits.profile.keys().chain([&limits.baseline]) {
            assert!(folder.join(format!("profiles/{name}.toml")).is_file(), "{name}");
        }
    }
}
