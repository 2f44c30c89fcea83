//! Which sample comes next.

/// Tokens whose weights are added up together.
const BLOCK: usize = 16;
/// Where a weight is so small beside that of the likeliest token that it is none.
const NONE: f32 = -87.0;

/// Draws tokens from logits. It asks for memory when it is made and never again: it is called for every
/// sample of every stream, so weights are calculated side by side, in `f32` as the logits are.
#[derive(Clone, Debug)]
pub struct Draw {
    temperature: f64,
    /// Filled up with zeros to whole blocks.
    weights: Vec<f32>,
    /// Of each block.
    sums: Vec<f32>,
}

impl Draw {
    /// Divides logits by `temperature`; 0 (or less, or no number) always takes the likeliest token, of equals
    /// the lowest.
    #[must_use]
    pub fn new(temperature: f64, levels: usize) -> Self {
        let blocks = levels.div_ceil(BLOCK);
        Self { temperature, weights: Vec::with_capacity(blocks * BLOCK), sums: Vec::with_capacity(blocks) }
    }

    /// The token that a number drawn evenly from [0, 1) chooses: tokens in their order take up as much of it
    /// as they are likely. `None` if the logits are no distribution: a NaN or plus infinity among them, or
    /// nothing but minus infinity.
    pub fn choose(&mut self, logits: &[f32], uniform: f64) -> Option<usize> {
        let highest = highest(logits)?;
        if self.temperature.is_nan() || self.temperature <= 0.0 {
            return logits.iter().position(|x| *x == highest);
        }
        let cold = ((1.0 / self.temperature) as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        self.weights.clear();
        self.weights.extend(logits.iter().map(|x| exp((x - highest) * cold)));
        self.weights.resize(logits.len().next_multiple_of(BLOCK), 0.0);
        self.sums.clear();
        self.sums.extend(self.weights.chunks_exact(BLOCK).map(sum));
        let mut left = uniform * self.sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        for (block, (weights, sum)) in self.weights.chunks_exact(BLOCK).zip(&self.sums).enumerate() {
            if left >= f64::from(*sum) {
                left -= f64::from(*sum);
                continue;
            }
            for (i, weight) in weights.iter().enumerate() {
                left -= f64::from(*weight);
                if left < 0.0 {
                    return Some(block * BLOCK + i);
                }
            }
            // Rounding may leave a little: the last of these that can be drawn at all.
            if let Some(i) = weights.iter().rposition(|w| *w > 0.0) {
                return Some(block * BLOCK + i);
            }
        }
        self.weights.iter().rposition(|w| *w > 0.0)
    }
}

/// The highest logit; none where they are no distribution.
fn highest(logits: &[f32]) -> Option<f32> {
    let mut most = [f32::NEG_INFINITY; BLOCK];
    let mut fine = [true; BLOCK];
    for chunk in logits.chunks(BLOCK) {
        for ((most, fine), x) in most.iter_mut().zip(&mut fine).zip(chunk) {
            *most = if *x > *most { *x } else { *most };
            // Neither NaN is nor plus infinity.
            *fine &= *x < f32::INFINITY;
        }
    }
    let highest = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (fine.into_iter().all(|fine| fine) && highest > f32::NEG_INFINITY).then_some(highest)
}

/// In an order that lets the sums of neighbours be formed at once.
fn sum(block: &[f32]) -> f32 {
    let mut lanes = [0.0; BLOCK / 4];
    for part in block.chunks_exact(BLOCK / 4) {
        lanes.iter_mut().zip(part).for_each(|(lane, x)| *lane += x);
    }
    lanes.into_iter().sum()
}

/// `e^x` for `x` of at most 0, to a relative 1.1e-7 (tried with every `f32`); 0 below [`NONE`].
///
/// Additions, multiplications and bits only: the same on every machine, which the C library's is not (and then a seed
/// would not give the same sound everywhere), and calculated for several `x` at once, which `libm`'s is not. By
/// `e^x = 2^k e^r` with whole `k` and `r` of at most half of ln 2, and the series of `e^r`.
fn exp(x: f32) -> f32 {
    /// Adding it leaves a whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which the first has so few bits that its product with `k` is exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let bounded = if x > NONE { x } else { NONE };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (bounded - k * LN_2.0) - k * LN_2.1;
    let series = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    if x > NONE { series * f32::from_bits(power) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_that_of_libm_as_far_as_an_f32_goes(x in NONE..0.0_f32) {
            let (got, expected) = (f64::from(exp(x)), libm::exp(f64::from(x)));
            prop_assert!((got / expected - 1.0).abs() < 1.1e-7, "{x}: {got} is not {expected}");
        }

        #[test]
        fn a_token_is_chosen_by_the_sum_of_the_weights_before_it(
            logits in proptest::collection::vec(-20.0_f32..20.0, 1..300),
            temperature in 0.1_f64..3.0,
            uniform in 0.0_f64..1.0,
        ) {
            let chosen = Draw::new(temperature, logits.len()).choose(&logits, uniform).unwrap();
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weight = |x: &f32| libm::exp(f64::from(x - highest) / temperature);
            let all: f64 = logits.iter().map(weight).sum();
            let before: f64 = logits[..chosen].iter().map(weight).sum();
            let to = before + weight(&logits[chosen]);
            let (from, to) = (before / all - 1e-5, to / all + 1e-5);
            prop_assert!((from..to).contains(&uniform), "{uniform} is not in {from} to {to}");
        }
    }

    #[test]
    fn exp_has_its_ends() {
        assert_eq!((exp(0.0), exp(-0.0), exp(NONE), exp(f32::NEG_INFINITY)), (1.0, 1.0, 0.0, 0.0));
    }

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
