//! Which sample comes next.

/// Draws tokens from logits. It asks for memory when it is made and never again: it is called for every
/// sample of every stream.
#[derive(Clone, Debug)]
pub struct Draw {
    temperature: f64,
    weights: Vec<f64>,
}

impl Draw {
    /// Divides logits by `temperature`; 0 (or less, or no number) always takes the likeliest token, of equals
    /// the lowest.
    #[must_use]
    pub fn new(temperature: f64, levels: usize) -> Self {
        Self { temperature, weights: Vec::with_capacity(levels) }
    }

    /// The token that a number drawn evenly from [0, 1) chooses: tokens in their order take up as much of it
    /// as they are likely. `None` if the logits are no distribution: a NaN or plus infinity among them, or
    /// nothing but minus infinity.
    pub fn choose(&mut self, logits: &[f32], uniform: f64) -> Option<usize> {
        if logits.iter().any(|x| x.is_nan() || *x == f32::INFINITY) {
            return None;
        }
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if highest == f32::NEG_INFINITY {
            return None;
        }
        if self.temperature.is_nan() || self.temperature <= 0.0 {
            return logits.iter().position(|x| *x == highest);
        }
        self.weights.clear();
        // Of `libm` in Rust: that of the system's C library differs between systems in the last bit, and then
        // a seed would not give the same sound everywhere.
        let weight = |x: &f32| libm::exp(f64::from(x - highest) / self.temperature);
        self.weights.extend(logits.iter().map(weight));
        let mut left = uniform * self.weights.iter().sum::<f64>();
        for (token, weight) in self.weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return Some(token);
            }
        }
        // Rounding may leave a little: the last that can be drawn at all.
        self.weights.iter().rposition(|w| *w > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_as_often_as_their_logits_say() {
        let logits = [0.0_f32, 2.0_f32.ln(), f32::NEG_INFINITY, 0.0];
        let mut draw = Draw::new(1.0, 4);
        let mut counts = [0; 4];
        for i in 0..1000 {
            counts[draw.choose(&logits, (f64::from(i) + 0.5) / 1000.0).unwrap()] += 1;
        }
        assert_eq!(counts, [250, 500, 0, 250]);
        assert_eq!(draw.choose(&logits, 1.0), Some(3));
        // Twice as cold: weights 1, 4, 0, 1.
        let mut cold = Draw::new(0.5, 4);
        assert_eq!((cold.choose(&logits, 0.16), cold.choose(&logits, 0.17)), (Some(0), Some(1)));
    }

    #[test]
    fn without_heat_it_is_always_the_likeliest() {
        let logits = [0.0_f32, 3.0, 3.0, -1.0];
        for temperature in [0.0, -1.0, f64::NAN] {
            assert_eq!(Draw::new(temperature, 4).choose(&logits, 0.99), Some(1));
        }
        assert_eq!(Draw::new(1e-6, 4).choose(&[0.0, 3.0, 2.0], 0.99), Some(1));
    }

    #[test]
    fn logits_that_are_no_distribution_choose_nothing() {
        for bad in [&[0.0, f32::NAN][..], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY], &[]] {
            for temperature in [0.0, 1.0] {
                assert_eq!(Draw::new(temperature, 2).choose(bad, 0.5), None, "{bad:?}");
            }
        }
    }
}
