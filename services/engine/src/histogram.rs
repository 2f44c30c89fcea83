//! Distributions, for metrics: fixed buckets of atomic counts, so that observing takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds for times, in seconds: from a step of a small graph to a long stream's wait.
pub(crate) const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Upper bounds for rows of a batch.
pub(crate) const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// How many observations fell below each bound, and above the last.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them.
    counts: Vec<AtomicU64>,
    /// In billionths: nanoseconds, for times. It is full after 584 years of them.
    sum: AtomicU64,
}

impl Histogram {
    /// Of times, in seconds.
    pub fn seconds() -> Self {
        Self::new(SECONDS)
    }

    /// Of batches, in rows.
    pub fn rows() -> Self {
        Self::new(ROWS)
    }

    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Takes in a time.
    pub fn time(&self, time: Duration) {
        self.add(time.as_secs_f64(), u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes in a number of things.
    pub fn count(&self, count: usize) {
        self.add(count as f64, (count as u64).saturating_mul(1_000_000_000));
    }

    fn add(&self, value: f64, billionths: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(billionths, Ordering::Relaxed);
    }

    /// What was taken in so far.
    pub fn get(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// A snapshot of observations, sorted into buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The upper bounds of the buckets, inclusive and ascending.
    pub bounds: &'static [f64],
    /// How many observations fell into each bucket and no lower one; the last is for those above all bounds,
    /// so there is one more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of all observations.
    pub sum: f64,
}

impl Distribution {
    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histogram = Histogram::rows();
        for rows in [1, 2, 3, 4, 5, 5000] {
            histogram.count(rows);
        }
        let seen = histogram.get();
        assert_eq!(seen.counts[..5], [1, 1, 2, 1, 0]);
        assert_eq!((seen.counts.last(), seen.count(), seen.sum), (Some(&1), 6, 5015.0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_everything_is_below_its_bound(times in proptest::collection::vec(0_u64..90_000_000, 0..50)) {
            let histogram = Histogram::seconds();
            times.iter().for_each(|us| histogram.time(Duration::from_micros(*us)));
            let seen = histogram.get();
            prop_assert_eq!(seen.count(), times.len() as u64);
            prop_assert!((seen.sum - times.iter().sum::<u64>() as f64 / 1e6).abs() < 1e-6);
            let mut below = 0;
            for (bound, count) in seen.bounds.iter().zip(&seen.counts) {
                below += count;
                let expected = times.iter().filter(|us| Duration::from_micros(**us).as_secs_f64() <= *bound).count();
                prop_assert_eq!(below, expected as u64);
            }
        }
    }
}
