//! How long slots are held, and so how long one waits for one. No clocks.

use std::time::Duration;

/// How many of the latest streams make most of the mean.
const MEMORY: u32 = 8;

/// The mean time that a slot was held, of which the latest streams make the most.
#[derive(Debug, Default)]
pub(super) struct Pace {
    mean: Option<Duration>,
}

impl Pace {
    /// A stream left its slot after so long.
    pub(super) fn add(&mut self, held: Duration) {
        self.mean = Some(match self.mean {
            Some(mean) => mean - mean / MEMORY + held / MEMORY,
            None => held,
        });
    }

    /// How long it takes until `turns` streams have left their slots, of which all `slots` are taken; none as long as
    /// nobody has left any.
    pub(super) fn wait(&self, turns: usize, slots: usize) -> Option<Duration> {
        let [turns, slots] = [turns, slots.max(1)].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        self.mean.map(|mean| mean.saturating_mul(turns) / slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_waits_as_long_as_those_before_take_to_leave_side_by_side() {
        let (mut pace, second) = (Pace::default(), Duration::from_secs(1));
        assert_eq!(pace.wait(1, 4), None, "nobody knows");
        pace.add(second);
        assert_eq!((pace.wait(0, 4), pace.wait(6, 4)), (Some(Duration::ZERO), Some(second * 3 / 2)));
        assert_eq!(pace.wait(usize::MAX, 0), Some(second * u32::MAX));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (mut pace, short) = (Pace::default(), Duration::from_millis(1));
        pace.add(Duration::from_secs(3600));
        (0..200).for_each(|_| pace.add(short));
        assert!(pace.wait(1, 1).is_some_and(|wait| (short..2 * short).contains(&wait)), "{pace:?}");
    }
}
