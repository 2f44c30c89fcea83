//! What a word is to sound like, from its beginning to its end.

use super::condition::{Condition, FRAME, Said, logarithm};

/// How loud each band of frequencies is at some moments of a word: the moments lie evenly, each in the middle of
/// its share of the word, however long that is.
///
/// A model may plan a word before it says it. Where the plan goes to a network, it follows the
/// [`Condition`]'s row: one number for each band, at the middle of the frame, on a straight line between the
/// moments before and after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    bands: usize,
    /// `[moments, bands]`.
    values: Vec<f32>,
}

impl Plan {
    /// Of `values` `[moments, bands]`. What does not fill the bands of a moment is left out.
    #[must_use]
    pub fn new(bands: usize, mut values: Vec<f32>) -> Self {
        let whole = values.len().checked_div(bands).unwrap_or(0) * bands;
        values.truncate(whole);
        Self { bands, values }
    }

    /// Where the frame of sample `at` of a word of `total` samples lies: the moment before its middle, the one after,
    /// and the share of the latter.
    fn place(moments: usize, at: usize, total: usize) -> (usize, usize, f32) {
        let last = moments.saturating_sub(1);
        let middle = (at / FRAME * FRAME) as f64 + FRAME as f64 / 2.0;
        let place = (middle / total.max(1) as f64 * moments as f64 - 0.5).clamp(0.0, last as f64);
        let before = place.floor() as usize;
        (before, (before + 1).min(last), (place - before as f64) as f32)
    }

    /// The numbers of sample `at` (from 0) of a word that takes `total` samples, one for each band; none if nothing is
    /// planned.
    pub fn row(&self, at: usize, total: usize) -> impl Iterator<Item = f32> {
        let moments = self.values.len().checked_div(self.bands).unwrap_or(0);
        let (before, after, share) = Self::place(moments, at, total);
        let moment = |i: usize| self.values.chunks_exact(self.bands.max(1)).nth(i).unwrap_or_default();
        moment(before).iter().zip(moment(after)).map(move |(a, b)| a + (b - a) * share)
    }
}

impl Condition {
    /// Numbers in a [`Condition::word`].
    #[must_use]
    pub fn word_width(&self) -> usize {
        self.said_width() + 1
    }

    /// What a word is planned by: a one-hot digit, a one-hot speaker, and how long it takes, `ln(1 + seconds / 0.05) /
    /// 4`.
    #[must_use]
    pub fn word(&self, said: Said, total: usize) -> Vec<f32> {
        let mut word = self.said(Some(said));
        word.push(logarithm(total as f64, self.sample_rate()));
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(plan: &Plan, at: usize, total: usize) -> Vec<f32> {
        plan.row(at, total).collect()
    }

    #[test]
    fn a_frame_takes_what_is_planned_for_its_middle() {
        // Four moments of a word of eight frames: they lie between the frames 0 and 1, 2 and 3, and so on.
        let plan = Plan::new(2, vec![0.0, 10.0, 1.0, 20.0, 2.0, 30.0, 3.0, 40.0]);
        let total = 8 * FRAME;
        assert_eq!(row(&plan, 0, total), [0.0, 10.0], "before the first moment it is that of the first");
        assert_eq!(row(&plan, FRAME, total), [0.25, 12.5]);
        assert_eq!(row(&plan, 2 * FRAME, total), [0.75, 17.5]);
        assert_eq!(row(&plan, 2 * FRAME, total), row(&plan, 3 * FRAME - 1, total));
        assert_eq!(row(&plan, 7 * FRAME, total), [3.0, 40.0]);
        assert_eq!(row(&plan, 99 * FRAME, total), [3.0, 40.0], "past the end it is that of the last");
    }

    #[test]
    fn a_longer_word_takes_longer_from_moment_to_moment() {
        let plan = Plan::new(1, (0..32).map(|i| i as f32).collect());
        let times =
            |total: usize| (0..total).step_by(FRAME).filter(|at| row(&plan, *at, total)[0] < 16.0).count();
        assert_eq!((times(64 * FRAME), times(128 * FRAME)), (33, 66));
    }

    #[test]
    fn where_nothing_is_planned_there_is_nothing() {
        for plan in [Plan::default(), Plan::new(0, vec![1.0]), Plan::new(3, vec![1.0, 2.0])] {
            assert!(row(&plan, 0, 0).is_empty() && row(&plan, 9999, 100).is_empty());
        }
        assert_eq!(
            row(&Plan::new(2, vec![1.0, 2.0, 9.0]), 500, 1000),
            [1.0, 2.0],
            "a moment that is not whole"
        );
    }

    #[test]
    fn a_word_says_digit_speaker_and_how_long_it_takes() {
        let condition = Condition::new(10, 6, 8000);
        let word = condition.word(Said { digit: 3, speaker: 1 }, 4000);
        assert_eq!(word.len(), condition.word_width());
        let hot: Vec<usize> = (0..16).filter(|&i| word[i] != 0.0).collect();
        assert_eq!(hot, [3, 11]);
        assert!((word[16] - 11f32.ln() / 4.0).abs() < 1e-6);
    }
}
