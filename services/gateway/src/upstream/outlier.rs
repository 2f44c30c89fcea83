//! When an endpoint is left alone for a while.
//!
//! Health is what an endpoint says of itself; this is what its answers say. Both are needed: a process whose disk or
//! device is gone may well say that it serves.

use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row, and it is left alone.
const FAILURES: u32 = 5;
/// For so long at first, and for so much longer each time, up to the last.
const STEP: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// What the answers of one endpoint came to.
#[derive(Debug, Default, Clone)]
pub(super) struct Outlier {
    in_a_row: u32,
    /// How often it was left alone since it last did well for long.
    times: u32,
    until: Option<Instant>,
}

impl Outlier {
    /// It answered as it should.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.in_a_row = 0;
        // As long well as it was left alone: forgiven.
        if self.until.is_some_and(|until| now >= until + self.term()) {
            *self = Self::default();
        }
    }

    /// It could not be reached, broke off, or its answer was a fault of its own. Says whether it is left alone from
    /// now on.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < FAILURES || self.is_out(now) {
            return false;
        }
        self.in_a_row = 0;
        self.times = self.times.saturating_add(1);
        self.until = Some(now + self.term());
        true
    }

    /// Whether it is left alone.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn term(&self) -> Duration {
        STEP.saturating_mul(self.times).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(outlier: &mut Outlier, now: Instant) -> bool {
        (0..FAILURES).map(|_| outlier.failed(now)).last().unwrap()
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let (mut outlier, now) = (Outlier::default(), Instant::now());
        for _ in 0..20 {
            assert!((1..FAILURES).all(|_| !outlier.failed(now)));
            outlier.succeeded(now);
        }
        assert!(!outlier.is_out(now));
        assert!(fail(&mut outlier, now) && outlier.is_out(now));
        assert!(!outlier.is_out(now + STEP), "and it is tried again");
    }

    #[test]
    fn who_fails_again_is_left_alone_for_longer_up_to_a_limit_and_forgiven_in_time() {
        let (mut outlier, mut now) = (Outlier::default(), Instant::now());
        for times in 1..=30 {
            assert!(fail(&mut outlier, now));
            let term = (STEP * times).min(LONGEST);
            assert!(outlier.is_out(now + term - Duration::from_millis(1)) && !outlier.is_out(now + term));
            now += term;
            outlier.succeeded(now);
        }
        outlier.succeeded(now + LONGEST);
        assert!(fail(&mut outlier, now) && !outlier.is_out(now + STEP), "as if for the first time");
    }

    #[test]
    fn late_failures_do_not_lengthen_it() {
        let (mut outlier, now) = (Outlier::default(), Instant::now());
        assert!(fail(&mut outlier, now));
        assert!(!fail(&mut outlier, now + STEP / 2), "calls that were under way already");
        assert!(!outlier.is_out(now + STEP));
    }
}
