//! Samples as tokens.

/// The mu-law with `mu = levels - 1` (ITU-T G.711, in its continuous form): samples from -1 to 1 as levels that
/// are the finer the nearer to 0.
#[derive(Clone, Debug, PartialEq)]
pub struct MuLaw {
    samples: Vec<f32>,
}

impl MuLaw {
    /// With this many levels, at least 2.
    #[must_use]
    pub fn new(levels: usize) -> Self {
        let mu = levels.max(2) as f64 - 1.0;
        let sample = |token: usize| {
            let y = 2.0 * token as f64 / mu - 1.0;
            (y.signum() * ((1.0 + mu).powf(y.abs()) - 1.0) / mu) as f32
        };
        Self { samples: (0..levels.max(2)).map(sample).collect() }
    }

    /// How many levels there are: tokens are 0 to one less.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.samples.len()
    }

    /// The token of a sample. What lies outside of [-1, 1] is taken as the nearer end; NaN as silence.
    #[must_use]
    pub fn encode(&self, sample: f64) -> usize {
        let mu = (self.levels() - 1) as f64;
        let x = if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) };
        let y = x.signum() * (mu * x.abs()).ln_1p() / mu.ln_1p();
        ((y + 1.0) / 2.0 * mu + 0.5) as usize
    }

    /// The sample of a token; that of the highest level for tokens beyond it.
    #[must_use]
    pub fn decode(&self, token: usize) -> f32 {
        self.samples[token.min(self.levels() - 1)]
    }

    /// The token of silence, which a stream begins after.
    #[must_use]
    pub fn silence(&self) -> usize {
        self.encode(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_run_from_end_to_end_and_silence_is_in_the_middle() {
        let law = MuLaw::new(256);
        assert_eq!((law.encode(-1.0), law.silence(), law.encode(1.0)), (0, 128, 255));
        assert_eq!((law.decode(0), law.decode(255)), (-1.0, 1.0));
        // The step next to 0, and the value that G.711's formula gives for level 200.
        assert!(law.decode(128).abs() < 1e-4);
        let expected = (256f64.powf(2.0 * 200.0 / 255.0 - 1.0) - 1.0) / 255.0;
        assert!((f64::from(law.decode(200)) - expected).abs() < 1e-7);
    }

    #[test]
    fn samples_that_are_out_of_range_or_no_numbers_have_a_level_too() {
        let law = MuLaw::new(256);
        assert_eq!((law.encode(7.0), law.encode(f64::NEG_INFINITY), law.encode(f64::NAN)), (255, 0, 128));
        assert_eq!(law.decode(999), 1.0);
    }

    proptest! {
        #[test]
        fn every_level_is_its_own_nearest(levels in 2usize..2000, at in 0.0f64..1.0) {
            let law = MuLaw::new(levels);
            let token = (at * levels as f64) as usize;
            prop_assert_eq!(law.encode(f64::from(law.decode(token))), token);
        }

        #[test]
        fn a_louder_sample_never_has_a_lower_level(a in -1.0f64..1.0, b in -1.0f64..1.0) {
            let law = MuLaw::new(256);
            prop_assert!(law.encode(a.min(b)) <= law.encode(a.max(b)));
        }
    }
}
