//! A bucket of tokens: so many at once, and so many a second after that.

use std::time::{Duration, Instant};

/// The most a bucket may be told to fill up in a second, and to hold.
pub(super) const MOST: f64 = 1e9;

/// A bucket that is full at first. The clock is its caller's.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// Fills up by `rate` a second, both of 0 to [`MOST`], and holds `burst`, at least 1.
    pub(super) fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, at: None }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        // A clock that two threads read a moment apart may seem to go back.
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.rate;
        // Rounded up, so that whoever waits so long is let in.
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        Err(wait.saturating_add(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whoever_waits_as_long_as_was_said_is_let_in() {
        let start = Instant::now();
        let mut bucket = Bucket::new(4.0, 2.0);
        assert_eq!([bucket.take(start), bucket.take(start)], [Ok(()), Ok(())]);
        let wait = bucket.take(start).unwrap_err();
        assert!((250..=252).contains(&wait.as_millis()), "{wait:?}");
        assert!(bucket.take(start + wait / 2).is_err());
        assert_eq!(bucket.take(start + wait), Ok(()));
    }

    proptest! {
        #[test]
        fn in_no_window_are_more_let_in_than_burst_and_rate_allow(
            rate in 0.1f64..50.0,
            burst in 1u32..20,
            steps in proptest::collection::vec(0u64..400, 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate, f64::from(burst));
            let mut now = start;
            let mut admitted = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                if bucket.take(now).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, begin) in admitted.iter().enumerate() {
                for (last, end) in admitted.iter().enumerate().skip(first) {
                    let most = f64::from(burst) + rate * end.duration_since(*begin).as_secs_f64();
                    prop_assert!((last - first + 1) as f64 <= most + 1e-6);
                }
            }
        }
    }
}
