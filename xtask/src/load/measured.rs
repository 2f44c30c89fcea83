//! What ghz measured of one profile.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The parts that we read of ghz's report in JSON.
#[derive(Debug, Deserialize)]
struct Report {
    /// Whole seconds and parts, in nanoseconds.
    total: u64,
    #[serde(default)]
    details: Option<Vec<Call>>,
}

/// One call.
#[derive(Debug, Deserialize)]
struct Call {
    /// In nanoseconds.
    latency: u64,
    status: String,
    #[serde(default)]
    error: String,
}

/// What was measured of a profile at one door.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Measured {
    /// How many calls were made.
    pub(crate) calls: usize,
    /// Calls a second that were asked for; 0 where each waited for the one before it.
    pub(crate) asked: f64,
    /// Calls a second that were made.
    pub(crate) had: f64,
    /// The middle call in milliseconds.
    pub(crate) p50_ms: f64,
    /// The slowest of twenty in milliseconds.
    pub(crate) p95_ms: f64,
    /// The slowest of a hundred in milliseconds; of fewer calls, the slowest.
    pub(crate) p99_ms: f64,
    /// How many calls ended with each code.
    pub(crate) codes: BTreeMap<String, usize>,
    /// How many ended otherwise than expected.
    pub(crate) errors: usize,
    /// What one of these said; empty where there is none.
    pub(crate) error: String,
}

impl Measured {
    /// Reads ghz's report. Calls are timed that ended as expected.
    ///
    /// # Errors
    /// One line: it is no report, or no call was made.
    pub(crate) fn read(report: &[u8], asked: u32, expect: &str) -> Result<Self> {
        let report: Report = serde_json::from_slice(report).context("ghz wrote no report")?;
        let calls = report.details.unwrap_or_default();
        let mut codes = BTreeMap::new();
        for call in &calls {
            *codes.entry(call.status.clone()).or_insert(0) += 1;
        }
        let (good, bad): (Vec<&Call>, Vec<&Call>) = calls.iter().partition(|call| call.status == expect);
        let mut latencies: Vec<u64> = good.iter().map(|call| call.latency).collect();
        latencies.sort_unstable();
        let asked = f64::from(asked);
        let total = report.total as f64 / 1e9;
        // The last call comes an interval before the whole time is over, and is then waited for.
        let slowest = latencies.last().copied().unwrap_or_default() as f64 / 1e9;
        let seconds = if asked > 0.0 { (total - slowest).max(calls.len() as f64 / asked) } else { total };
        Ok(Self {
            calls: calls.len(),
            asked,
            had: if calls.is_empty() { 0.0 } else { calls.len() as f64 / seconds },
            p50_ms: percentile(&latencies, 50),
            p95_ms: percentile(&latencies, 95),
            p99_ms: percentile(&latencies, 99),
            codes,
            errors: bad.len(),
            error: bad.first().map(|call| call.error.replace('\n', " ")).unwrap_or_default(),
        })
    }

    /// How much slower the slowest of a hundred is than the middle one.
    pub(crate) fn spread(&self) -> f64 {
        if self.p50_ms > 0.0 { self.p99_ms / self.p50_ms } else { 0.0 }
    }
}

/// The least latency that this part of all is at or below, in milliseconds; of sorted nanoseconds.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |latency| *latency as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(total: u64, calls: &[(u64, &str)]) -> Vec<u8> {
        let calls: Vec<_> = calls
            .iter()
            .map(|(ms, status)| json!({"latency": ms * 1_000_000, "status": status, "error": "said\nthis"}))
            .collect();
        json!({ "total": total * 1_000_000, "details": calls, "rps": 1.0 }).to_string().into_bytes()
    }

    #[test]
    fn percentiles_are_of_the_calls_that_ended_as_expected() {
        let mut calls: Vec<(u64, &str)> = (1..=100).map(|ms| (ms, "OK")).collect();
        calls.push((10_000, "Unavailable"));
        let measured = Measured::read(&report(10_000, &calls), 10, "OK").unwrap();
        assert_eq!((measured.p50_ms, measured.p95_ms, measured.p99_ms), (50.0, 95.0, 99.0));
        assert_eq!((measured.errors, measured.error.as_str()), (1, "said this"));
        assert_eq!(measured.codes["Unavailable"], 1);
    }

    #[test]
    fn a_refusal_that_is_expected_is_no_error() {
        let calls = [(2, "Unimplemented"), (4, "Unimplemented")];
        let measured = Measured::read(&report(1000, &calls), 2, "Unimplemented").unwrap();
        assert_eq!((measured.errors, measured.p50_ms, measured.p99_ms), (0, 2.0, 4.0));
        assert_eq!(measured.spread(), 2.0);
    }

    #[test]
    fn calls_that_came_too_late_lower_the_rate() {
        let calls = [(10, "OK"); 20];
        assert_eq!(Measured::read(&report(2010, &calls), 10, "OK").unwrap().had, 10.0);
        assert!(Measured::read(&report(4010, &calls), 10, "OK").unwrap().had < 5.1);
    }

    #[test]
    fn calls_in_turn_are_counted_over_the_whole_time() {
        assert_eq!(Measured::read(&report(4000, &[(2000, "OK"); 2]), 0, "OK").unwrap().had, 0.5);
    }

    #[test]
    fn a_run_without_calls_has_no_rate_and_no_report_is_an_error() {
        assert_eq!(Measured::read(&report(3000, &[]), 10, "OK").unwrap().had, 0.0);
        assert!(Measured::read(b"connection refused", 10, "OK").is_err());
    }
}
