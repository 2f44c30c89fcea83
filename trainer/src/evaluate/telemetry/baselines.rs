//! Detectors that need no training, held against the same sequences.

use std::ops::RangeInclusive;

use atelier_transforms::telemetry::recording::Recording;
use rand::Rng;
use tch::{Kind, Tensor};

use crate::nets::sequence_autoencoder::LIMIT;
use crate::random;

/// Rows of a subsequence that is looked for in training.
const SUBSEQUENCE: usize = 50;
/// Every which subsequence of training is looked at.
const EVERY: i64 = 3;
/// Subsequences that are compared together.
const CHUNK: i64 = 2000;

/// A recording's values, limited as the network's are.
#[must_use]
pub fn values(recording: &Recording) -> Vec<f64> {
    let limit = f64::from(LIMIT);
    recording.column(0).into_iter().map(|value| f64::from(value).clamp(-limit, limit)).collect()
}

/// Distances of training subsequences to those of the other half of training, and of test rows to training.
pub struct Distances {
    /// Of training.
    pub calibration: Vec<f64>,
    /// One a row: of the subsequence around it.
    pub test: Vec<f64>,
}

impl Distances {
    /// Euclidean distances between subsequences and their nearest neighbours (Yankov et al. 2008 look for
    /// discords so).
    #[must_use]
    pub fn of(train: &[f64], test: &[f64]) -> Self {
        let subsequences = |values: &[f64]| Tensor::from_slice(values).unfold(0, SUBSEQUENCE as i64, 1);
        let all = subsequences(train);
        let every = Tensor::arange_start_step(0, all.size()[0], EVERY, (Kind::Int64, all.device()));
        let known = all.index_select(0, &every);
        let half = known.size()[0] / 2;
        let (first, second) = (known.narrow(0, 0, half), known.narrow(0, half, known.size()[0] - half));
        let calibration = [nearest(&first, &second), nearest(&second, &first)].concat();
        let found = nearest(&subsequences(test), &known);
        // A subsequence is about its middle; before the first and after the last, their distances.
        let shift = SUBSEQUENCE / 2;
        let (head, tail) = (SUBSEQUENCE - 1 - shift, shift);
        let (begin, end) =
            (found.first().copied().unwrap_or_default(), found.last().copied().unwrap_or_default());
        let test = [vec![begin; head], found, vec![end; tail]].concat();
        Self { calibration, test }
    }
}

/// The distance of each row of `queries` to the nearest row of `known`.
fn nearest(queries: &Tensor, known: &Tensor) -> Vec<f64> {
    let square = |x: &Tensor| x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
    let lengths = square(known);
    let mut found = Vec::new();
    for queries in queries.split(CHUNK, 0) {
        let squares = square(&queries).unsqueeze(1) - queries.matmul(&known.tr()) * 2.0 + &lengths;
        let least = squares.amin([1i64].as_slice(), false).clamp_min(0.0).sqrt();
        let mut values = vec![0.0; least.numel()];
        least.copy_data(&mut values, least.numel());
        found.extend(values);
    }
    found
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Scores by the nearest neighbour; the limit is 1.3 times the greatest distance within training and .2 more.
#[must_use]
pub fn nearest_neighbour(train: &[f64], test: &[f64]) -> Vec<f32> {
    let Distances { calibration, test } = Distances::of(train, test);
    scores(&test, 1.3 * greatest(&calibration) + 0.2)
}

/// Scores by how far a value is beyond all but 2 of 1000 values of training; the limit is .1 beyond the
/// farthest.
#[must_use]
pub fn range(train: &[f64], test: &[f64]) -> Vec<f32> {
    let (low, high) = (quantile(train, 0.001), quantile(train, 0.999));
    let beyond = |value: &f64| (low - value).max(value - high);
    let limit = greatest(&train.iter().map(beyond).collect::<Vec<_>>()) + 0.1;
    scores(&test.iter().map(beyond).collect::<Vec<_>>(), limit)
}

/// In parts of a limit, from which on it is an alarm; 0 at the least.
fn scores(values: &[f64], limit: f64) -> Vec<f32> {
    // Over the limit is an alarm, and at it none.
    values.iter().map(|value| if *value > limit { (value / limit).max(1.0) } else { (value / limit).clamp(0.0, 0.999_999) } as f32).collect()
}

/// With linear interpolation.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * (sorted.len().max(1) - 1) as f64;
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or_default();
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}

/// Random numbers under point adjustment: what one row of a sequence scores counts for all of its rows.
pub struct Random {
    rng: rand_chacha::ChaCha8Rng,
    /// Of each sequence, its greatest score and its rows.
    sequences: Vec<(f64, usize)>,
    normal: Vec<f64>,
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

impl Random {
    /// Always the same numbers.
    #[must_use]
    pub fn new() -> Self {
        Self { rng: random::generator(&[1]), sequences: Vec::new(), normal: Vec::new() }
    }

    /// Draws the scores of a channel's rows.
    pub fn channel(&mut self, rows: usize, anomalies: &[RangeInclusive<usize>]) {
        let scores: Vec<f64> =
            (0..rows).map(|_| (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64).collect();
        for sequence in anomalies {
            let rows = &scores[*sequence.start().min(&rows)..(sequence.end() + 1).min(rows)];
            self.sequences.push((greatest(rows), rows.len()));
        }
        let anomalous = |row: usize| anomalies.iter().any(|rows| rows.contains(&row));
        self.normal.extend(scores.iter().enumerate().filter(|(row, _)| !anomalous(*row)).map(|(_, s)| *s));
    }

    /// The best F1 over limits.
    #[must_use]
    pub fn best(&self) -> f64 {
        let limit = |i: i32| 1.0 - 10f64.powf(-5.0 + 4.0 * f64::from(i) / 59.0);
        let f1 = |limit: f64| {
            let false_rows = self.normal.iter().filter(|score| **score > limit).count() as f64;
            let all: usize = self.sequences.iter().map(|(_, rows)| rows).sum();
            let found: usize =
                self.sequences.iter().filter(|(top, _)| *top > limit).map(|(_, rows)| rows).sum();
            2.0 * found as f64 / (found as f64 + false_rows + all as f64)
        };
        (0..60).map(|i| f1(limit(i))).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.3).sin() * 0.5 + 0.5).collect()
    }

    #[test]
    fn a_subsequence_that_training_has_is_near_and_one_that_it_has_not_is_far() {
        // Long enough for every third subsequence to start at every phase of the wave.
        let (train, mut test) = (wave(1200), wave(300));
        let distances = Distances::of(&train, &test);
        assert_eq!(distances.test.len(), 300);
        assert!(greatest(&distances.test) < 0.3, "{}", greatest(&distances.test));
        test[150..170].fill(0.5);
        let scores = nearest_neighbour(&train, &test);
        assert!(scores[160] >= 1.0 && scores[60] < 1.0, "{} {}", scores[160], scores[60]);
    }

    #[test]
    fn a_value_beyond_training_is_an_alarm_of_the_range() {
        let mut test = wave(100);
        test[40] = 1.2;
        let scores = range(&wave(600), &test);
        let alarms: Vec<usize> = (0..100).filter(|row| scores[*row] >= 1.0).collect();
        assert_eq!(alarms, [40]);
        let constant = range(&[0.0; 50], &[0.0, 0.05, 0.2]);
        assert_eq!(constant.iter().filter(|score| **score >= 1.0).count(), 1);
    }

    #[test]
    fn quantiles_lie_between_the_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[0.0, 1.0], 0.25), 0.25);
    }

    #[test]
    fn point_adjustment_flatters_random_numbers() {
        let mut random = Random::new();
        random.channel(10_000, &[1000..=2000, 7000..=7500]);
        assert!(random.best() > 0.9, "{}", random.best());
    }
}
