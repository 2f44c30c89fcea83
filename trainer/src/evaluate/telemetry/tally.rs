//! Counting what was found.

use std::ops::RangeInclusive;

use atelier_transforms::telemetry::Alarms;

/// What was found in some channels.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Sequences that an alarm overlaps.
    pub found: usize,
    /// Sequences that none does.
    pub missed: usize,
    /// Alarms that overlap no sequence.
    pub false_alarms: usize,
    /// Rows in all.
    pub rows: usize,
    /// Of each sequence that was found, the rows from its first to the first of an alarm within it.
    delays: Vec<u64>,
    /// The score of each row, and whether it is anomalous.
    points: Vec<(f32, bool)>,
}

impl Tally {
    /// Counts a channel: the score of every row, where 1 and more is an alarm and alarms up to `merge` rows
    /// apart are one, and the rows that are anomalous.
    pub fn channel(&mut self, scores: &[f32], merge: usize, anomalies: &[RangeInclusive<usize>]) {
        let alarms = Alarms::of(scores.iter().copied(), merge);
        let overlap = |alarm: &atelier_transforms::telemetry::Alarm, rows: &RangeInclusive<usize>| {
            alarm.first <= *rows.end() as u64 && alarm.last >= *rows.start() as u64
        };
        for rows in anomalies {
            match alarms.iter().find(|alarm| overlap(alarm, rows)) {
                Some(alarm) => {
                    self.found += 1;
                    self.delays.push(alarm.first.saturating_sub(*rows.start() as u64));
                }
                None => self.missed += 1,
            }
        }
        let is_false = |alarm: &&_| !anomalies.iter().any(|rows| overlap(alarm, rows));
        self.false_alarms += alarms.iter().filter(is_false).count();
        self.rows += scores.len();
        let anomalous = |row: usize| anomalies.iter().any(|rows| rows.contains(&row));
        self.points.extend(scores.iter().enumerate().map(|(row, score)| (*score, anomalous(row))));
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: Self) {
        self.found += other.found;
        self.missed += other.missed;
        self.false_alarms += other.false_alarms;
        self.rows += other.rows;
        self.delays.extend(other.delays);
        self.points.extend(other.points);
    }

    /// The part of what was found among what was said.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.false_alarms).max(1) as f64
    }

    /// The part of what was found among what there is.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.found as f64 / (self.found + self.missed).max(1) as f64
    }

    /// The harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let errors = (self.false_alarms + self.missed) as f64;
        2.0 * self.found as f64 / (2.0 * self.found as f64 + errors).max(1.0)
    }

    /// False alarms in ten thousand rows.
    #[must_use]
    pub fn false_alarms_per_10000(&self) -> f64 {
        self.false_alarms as f64 * 1e4 / self.rows.max(1) as f64
    }

    /// The median of the rows that pass before a sequence that is found is found; 0 where none is.
    #[must_use]
    pub fn delay(&self) -> f64 {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        match delays.len() {
            0 => 0.0,
            n if n % 2 == 1 => delays[n / 2] as f64,
            n => (delays[n / 2 - 1] + delays[n / 2]) as f64 / 2.0,
        }
    }

    /// The average precision of the rows' scores, all channels together: the mean, over the anomalous rows, of
    /// the part of anomalous rows among those that score as high or higher.
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        let mut points = self.points.clone();
        points.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut hits, mut sum) = (0usize, 0.0);
        // Rows of one score are taken together: their order says nothing.
        for tied in points.chunk_by(|a, b| a.0 == b.0).scan(0usize, |before, tied| {
            *before += tied.len();
            Some((*before, tied))
        }) {
            let (upto, tied) = tied;
            let positive = tied.iter().filter(|point| point.1).count();
            hits += positive;
            sum += positive as f64 * hits as f64 / upto as f64;
        }
        sum / (hits.max(1)) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_alarms_and_delays_are_counted() {
        let mut scores = [0.0; 60];
        for row in [12, 13, 30, 41] {
            scores[row] = 1.5;
        }
        let mut tally = Tally::default();
        tally.channel(&scores, 5, &[10..=14, 20..=25, 40..=50]);
        assert_eq!((tally.found, tally.missed, tally.false_alarms), (2, 1, 1));
        assert!((tally.f1() - 2.0 / 3.0).abs() < 1e-9 && (tally.precision() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((tally.delay(), tally.false_alarms_per_10000()), (1.5, 1e4 / 60.0));
        let mut both = tally.clone();
        both.add(tally);
        assert_eq!((both.found, both.rows), (4, 120));
    }

    #[test]
    fn an_alarm_that_goes_on_into_a_sequence_has_no_delay() {
        let mut tally = Tally::default();
        tally.channel(&[0.0, 1.0, 1.0, 1.0], 1, &[2..=3]);
        assert_eq!((tally.delay(), tally.false_alarms), (0.0, 0));
    }

    #[test]
    fn average_precision_is_1_for_a_right_order_and_the_prevalence_for_none() {
        let of = |scores: &[f32]| {
            let mut tally = Tally::default();
            tally.channel(scores, 1, &[1..=1, 3..=3]);
            tally.average_precision()
        };
        assert_eq!(of(&[0.1, 0.9, 0.2, 0.8]), 1.0);
        assert_eq!(of(&[0.5; 4]), 0.5);
        assert!((of(&[0.9, 0.8, 0.1, 0.2]) - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-9);
    }
}
