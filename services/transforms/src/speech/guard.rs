//! When what is made is no speech any more.

/// The mean square of the difference between neighbouring samples that no voice reaches. Full scale is 1.
///
/// Recordings of the Free Spoken Digit Dataset stay below 0.09 with the gain of their speaker, but for some
/// forty of 3,000 that were clipped; white noise of a third of full scale has 0.2.
pub const LIMIT: f64 = 0.15;

/// Seconds over which the mean is taken.
const WINDOW: f64 = 0.05;

/// Listens to the samples of one word for the noise that a WaveNet may fall into when it has drawn one unlikely
/// sample too many: it then sees noise, and so foresees noise.
#[derive(Clone, Debug)]
pub struct Guard {
    share: f64,
    mean: f64,
    last: f64,
}

impl Guard {
    /// At the start of a word.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self { share: 1.0 / (WINDOW * f64::from(sample_rate.max(1))), mean: 0.0, last: 0.0 }
    }

    /// Hears the next sample, and says whether the last ones were noise: whether the mean square of their
    /// differences, the later ones counting more, is over [`LIMIT`].
    pub fn runs_away(&mut self, sample: f32) -> bool {
        let sample = f64::from(sample);
        let difference = sample - self.last;
        self.last = sample;
        self.mean += (difference * difference - self.mean) * self.share;
        self.mean > LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether any of a second of samples is taken for noise.
    fn runs_away(sample: impl Fn(f64) -> f64) -> bool {
        let mut guard = Guard::new(8000);
        (0..8000).any(|i| guard.runs_away(sample(f64::from(i)) as f32))
    }

    /// Even noise from -1 to 1.
    fn noise(i: f64) -> f64 {
        let x = (i * 12.9898).sin() * 43_758.545_3;
        2.0 * (x - x.floor()) - 1.0
    }

    #[test]
    fn tones_of_a_voice_are_let_through_and_loud_noise_is_not() {
        let tone = |hertz: f64| move |i: f64| 0.9 * (std::f64::consts::TAU * hertz * i / 8000.0).sin();
        assert!(!runs_away(tone(120.0)) && !runs_away(tone(700.0)));
        assert!(runs_away(noise) && runs_away(|i| 0.7 * noise(i)));
        assert!(!runs_away(|i| 0.3 * noise(i)), "an s is noise too");
    }

    #[test]
    fn a_short_crack_is_no_noise() {
        assert!(!runs_away(|i| if (4000.0..4040.0).contains(&i) { noise(i) } else { 0.0 }));
    }
}
