//! What is to be said, by whom, and how far it is.

/// Samples for which the condition stays the same: 8 ms at 8 kHz. A service calculates a row once a frame,
/// and training calculates what the network makes of it once a frame.
pub const FRAME: usize = 64;

/// Numbers that say how far a word is.
pub const PROGRESS: usize = 11;

/// Seconds that the logarithms of elapsed and remaining time are relative to.
const MOMENT: f64 = 0.05;

/// A word in a voice, each by its place in the package's `[audio]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of the digit.
    pub digit: usize,
    /// Of the speaker.
    pub speaker: usize,
}

/// How conditions are written: a one-hot digit, a one-hot speaker, and the progress.
///
/// The progress is that of the frame's first sample: the part of the word that is over, `p`; the logarithms
/// of the time elapsed and the time remaining, `ln(1 + seconds / 0.05) / 4`; and `sin(k pi p)`,
/// `cos(k pi p)` for `k` from 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    digits: usize,
    speakers: usize,
    sample_rate: u32,
}

impl Condition {
    /// For so many digits and speakers, and samples a second.
    #[must_use]
    pub fn new(digits: usize, speakers: usize, sample_rate: u32) -> Self {
        Self { digits, speakers, sample_rate: sample_rate.max(1) }
    }

    /// Numbers in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.said_width() + PROGRESS
    }

    /// The row of sample `at` (from 0) of a word that takes `total` samples. `None` says nothing of word and
    /// voice, which a network that learned to do without may be asked for.
    #[must_use]
    pub fn row(&self, said: Option<Said>, at: usize, total: usize) -> Vec<f32> {
        let mut row = self.said(said);
        let (at, total) = ((at / FRAME * FRAME) as f64, total.max(1) as f64);
        let part = (at / total).min(1.0);
        row.extend([part as f32, logarithm(at, self.sample_rate), logarithm(total - at, self.sample_rate)]);
        for k in 1..=4 {
            let angle = f64::from(k) * std::f64::consts::PI * part;
            row.extend([angle.sin() as f32, angle.cos() as f32]);
        }
        row
    }

    /// Numbers of digit and speaker, with which a row begins.
    #[must_use]
    pub fn said_width(&self) -> usize {
        self.digits + self.speakers
    }

    /// A one-hot digit and a one-hot speaker; zeros where nothing is said.
    pub(super) fn said(&self, said: Option<Said>) -> Vec<f32> {
        let mut numbers = vec![0.0; self.said_width()];
        if let Some(Said { digit, speaker }) = said {
            for (place, count, start) in [(digit, self.digits, 0), (speaker, self.speakers, self.digits)] {
                if place < count {
                    numbers[start + place] = 1.0;
                }
            }
        }
        numbers
    }

    pub(super) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }
}

/// `ln(1 + seconds / 0.05) / 4` of so many samples, 0 for none.
pub(super) fn logarithm(samples: f64, sample_rate: u32) -> f32 {
    ((samples.max(0.0) / (MOMENT * f64::from(sample_rate))).ln_1p() / 4.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Condition = Condition { digits: 10, speakers: 6, sample_rate: 8000 };

    #[test]
    fn a_row_says_digit_speaker_and_progress() {
        let row = EIGHT.row(Some(Said { digit: 3, speaker: 1 }), 2000, 4000);
        assert_eq!(row.len(), EIGHT.width());
        let hot: Vec<usize> = (0..16).filter(|&i| row[i] != 0.0).collect();
        assert_eq!(hot, [3, 11]);
        // 2000 lies in the frame that begins at 1984.
        let near = |i: usize, expected: f64| (f64::from(row[i]) - expected).abs() < 1e-6;
        let part = 1984.0 / 4000.0;
        assert!(near(16, part) && near(17, (1984.0f64 / 400.0).ln_1p() / 4.0));
        assert!(near(18, (2016.0f64 / 400.0).ln_1p() / 4.0));
        assert!(near(19, (std::f64::consts::PI * part).sin()));
        assert!(near(26, (4.0 * std::f64::consts::PI * part).cos()));
    }

    #[test]
    fn a_row_stays_the_same_within_a_frame_and_changes_with_the_next() {
        let said = Some(Said { digit: 0, speaker: 0 });
        assert_eq!(EIGHT.row(said, FRAME, 4000), EIGHT.row(said, 2 * FRAME - 1, 4000));
        assert_ne!(EIGHT.row(said, FRAME, 4000), EIGHT.row(said, 2 * FRAME, 4000));
    }

    #[test]
    fn past_the_end_and_without_a_word_the_numbers_stay_finite() {
        for (at, total) in [(0, 0), (9000, 4000), (usize::MAX >> 12, 1)] {
            let row = EIGHT.row(None, at, total);
            assert!(row.iter().all(|x| x.is_finite()) && row[..16].iter().all(|x| *x == 0.0), "{row:?}");
        }
        assert!(EIGHT.row(Some(Said { digit: 99, speaker: 99 }), 0, 1)[..16].iter().all(|x| *x == 0.0));
    }
}
