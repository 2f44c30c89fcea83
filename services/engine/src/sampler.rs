//! Draws tokens from logits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::EngineError;

/// How to draw. Checked when made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    temperature: f64,
    top_k: usize,
    top_p: f64,
}

impl Sampling {
    /// `temperature` from 0 (always the likeliest) to 10, where 1 is the model's own distribution; `top_k`
    /// keeps the k likeliest tokens (0: all); `top_p` in (0, 1] then keeps the likeliest tokens that have
    /// this much of the probability together (1: all).
    pub fn new(temperature: f64, top_k: usize, top_p: f64) -> Result<Self, EngineError> {
        if !(0.0..=10.0).contains(&temperature) {
            return Err(EngineError::invalid(
                "temperature",
                format!("is {temperature}, but 0 to 10 is right (0: always the likeliest)"),
            ));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            let message = format!("is {top_p}, but more than 0 and at most 1 is right (1: all)");
            return Err(EngineError::invalid("top_p", message));
        }
        Ok(Self { temperature, top_k, top_p })
    }

    /// The likeliest token, always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0 }
    }

    /// The tokens that can be drawn with their probabilities, the likeliest first (of equals the one of lower
    /// id). They sum to 1. Logits must be finite or minus infinity, and not all of the latter.
    pub fn distribution(&self, logits: &[f32]) -> Result<Vec<(usize, f64)>, EngineError> {
        let mut space = Space::default();
        self.distribute(logits, &mut space)?;
        Ok(space.order)
    }

    /// The same into memory that is there already: it is done for every token of every stream.
    fn distribute(&self, logits: &[f32], space: &mut Space) -> Result<(), EngineError> {
        check(logits)?;
        let Space { ranks, order } = space;
        ranks.clear();
        ranks.extend(logits.iter().zip(0_u32..).map(|(x, token)| rank(*x, token)));
        let greedy = self.temperature == 0.0;
        let keep = match (greedy, self.top_k) {
            (true, _) => 1,
            (false, 0) => ranks.len(),
            (false, k) => k.min(ranks.len()),
        };
        if keep < ranks.len() {
            ranks.select_nth_unstable(keep);
            ranks.truncate(keep);
        }
        ranks.sort_unstable();
        order.clear();
        // The lower half of a rank is the token.
        order.extend(ranks.iter().filter_map(|rank| {
            let token = (rank & u64::from(u32::MAX)) as usize;
            logits.get(token).map(|x| (token, f64::from(*x)))
        }));
        let best = order.first().map_or(0.0, |(_, x)| *x);
        let temperature = if greedy { 1.0 } else { self.temperature };
        for (_, x) in order.iter_mut() {
            *x = libm::exp((*x - best) / temperature);
        }
        normalise(order);
        if self.top_p < 1.0 {
            let mut sum = 0.0;
            let within = order.iter().take_while(|(_, p)| {
                let before = sum;
                sum += p;
                before < self.top_p
            });
            let keep = within.count().max(1);
            order.truncate(keep);
            normalise(order);
        }
        Ok(())
    }
}

/// What is needed to order tokens by how likely they are.
#[derive(Debug, Clone, Default)]
struct Space {
    ranks: Vec<u64>,
    order: Vec<(usize, f64)>,
}

/// The lower the likelier; of equals the token of lower id. Numbers are sorted faster than what has to be compared.
fn rank(logit: f32, token: u32) -> u64 {
    let bits = logit.to_bits();
    // The bits of floats are in their order, but for the sign, and backwards below zero.
    let ascending = if logit.is_sign_negative() { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(token)
}

impl Default for Sampling {
    /// The model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0 }
    }
}

/// Draws tokens for one request, with a random generator of its own: what it draws depends on its seed and
/// the logits alone, not on whoever else is served.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    space: Space,
}

impl Sampler {
    /// A sampler for a request with this seed (see [`crate::seed::resolve`]).
    pub fn new(sampling: Sampling, seed: u64) -> Self {
        Self { sampling, rng: ChaCha8Rng::seed_from_u64(seed), space: Space::default() }
    }

    /// Draws a token. Fails if the logits are no distribution (NaN, plus infinity, empty).
    pub fn sample(&mut self, logits: &[f32]) -> Result<usize, EngineError> {
        self.sampling.distribute(logits, &mut self.space)?;
        let distribution = &self.space.order;
        // One draw for each token, used or not: so the n-th token depends on n and the logits only.
        let u = (self.rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
        let mut sum = 0.0;
        for (token, p) in distribution {
            sum += p;
            if u < sum {
                return Ok(*token);
            }
        }
        // Rounding may leave the sum a hair below 1: then it is the last that was meant.
        let last = distribution.last().map(|(token, _)| *token);
        last.ok_or_else(|| EngineError::Runtime("the model gave no logits".into()))
    }
}

/// The natural logarithm of the probability that `logits` give `token`, at temperature 1.
pub fn log_probability(logits: &[f32], token: usize) -> Result<f64, EngineError> {
    check(logits)?;
    let Some(x) = logits.get(token) else {
        let message = format!("is {token}, but the model has tokens 0 to {}", logits.len().saturating_sub(1));
        return Err(EngineError::invalid("token", message));
    };
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|v| libm::exp(f64::from(*v) - f64::from(best))).sum();
    Ok(f64::from(*x) - f64::from(best) - libm::log(sum))
}

fn check(logits: &[f32]) -> Result<(), EngineError> {
    let wrong = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY);
    match wrong {
        Some(i) => Err(EngineError::Runtime(format!("the model gave a logit that is no number (token {i})"))),
        None if logits.iter().all(|x| *x == f32::NEG_INFINITY) => {
            Err(EngineError::Runtime("the model gave no token a chance".into()))
        }
        None => Ok(()),
    }
}

fn normalise(order: &mut [(usize, f64)]) {
    let sum: f64 = order.iter().map(|(_, p)| p).sum();
    for (_, p) in order {
        *p /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-30.0_f32..30.0, 1..80)
    }

    fn argmax(logits: &[f32]) -> usize {
        let mut best = 0;
        for (i, x) in logits.iter().enumerate() {
            if *x > logits[best] {
                best = i;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn ranks_are_in_the_order_of_logits_and_then_of_tokens(
            a in proptest::num::f32::ANY, b in proptest::num::f32::ANY, i in 0_u32..9, j in 0_u32..9
        ) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(rank(a, i).cmp(&rank(b, j)), b.total_cmp(&a).then(i.cmp(&j)));
        }

        #[test]
        fn what_can_be_drawn_has_probabilities_that_sum_to_one(
            l in logits(), t in 0.01_f64..10.0, k in 0_usize..100, p in 0.01_f64..=1.0
        ) {
            let d = Sampling::new(t, k, p).unwrap().distribution(&l).unwrap();
            let sum: f64 = d.iter().map(|(_, p)| p).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(k == 0 || d.len() <= k);
            prop_assert!(d.windows(2).all(|w| w[0].1 >= w[1].1));
            prop_assert_eq!(d[0].0, argmax(&l));
        }

        #[test]
        fn top_p_keeps_the_fewest_tokens_that_have_that_much(l in logits(), p in 0.01_f64..0.999) {
            let all = Sampling::default().distribution(&l).unwrap();
            let kept = Sampling::new(1.0, 0, p).unwrap().distribution(&l).unwrap();
            let mass = |n: usize| all[..n].iter().map(|(_, p)| p).sum::<f64>();
            prop_assert!(mass(kept.len()) >= p - 1e-9);
            prop_assert!(mass(kept.len() - 1) < p + 1e-9);
        }

        #[test]
        fn one_token_kept_or_no_heat_is_the_likeliest(l in logits(), seed in any::<u64>()) {
            let cold = Sampling::new(0.0, 0, 1.0).unwrap();
            let one = Sampling::new(1.3, 1, 1.0).unwrap();
            prop_assert_eq!(Sampler::new(cold, seed).sample(&l).unwrap(), argmax(&l));
            prop_assert_eq!(Sampler::new(one, seed).sample(&l).unwrap(), argmax(&l));
        }

        #[test]
        fn the_same_seed_draws_the_same(l in logits(), seed in any::<u64>()) {
            let draw = || {
                let mut s = Sampler::new(Sampling::new(0.9, 20, 0.95).unwrap(), seed);
                (0..20).map(|_| s.sample(&l).unwrap()).collect::<Vec<_>>()
            };
            prop_assert_eq!(draw(), draw());
        }

        #[test]
        fn log_probabilities_are_those_of_the_distribution(l in logits()) {
            for (token, p) in Sampling::default().distribution(&l).unwrap() {
                prop_assert!((log_probability(&l, token).unwrap().exp() - p).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        let l = [0.0_f32, (2.0_f32).ln(), (5.0_f32).ln()];
        let mut s = Sampler::new(Sampling::default(), 1);
        let mut seen = [0_usize; 3];
        for _ in 0..80_000 {
            seen[s.sample(&l).unwrap()] += 1;
        }
        for (n, share) in seen.iter().zip([1.0, 2.0, 5.0]) {
            assert!((*n as f64 / 10_000.0 - share).abs() < 0.06, "{seen:?}");
        }
    }

    #[test]
    fn logits_that_are_no_distribution_are_an_error() {
        for bad in [&[0.0, f32::NAN][..], &[f32::INFINITY], &[f32::NEG_INFINITY], &[]] {
            let e = Sampler::new(Sampling::default(), 1).sample(bad).unwrap_err();
            assert!(matches!(e, EngineError::Runtime(_)), "{bad:?}");
        }
        assert!(Sampling::default().distribution(&[f32::NEG_INFINITY, 0.0]).is_ok());
        assert!(log_probability(&[0.0], 1).unwrap_err().to_string().starts_with("token: is 1"));
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        for (t, p, field) in [
            (-0.1, 1.0, "temperature"),
            (f64::NAN, 1.0, "temperature"),
            (10.5, 1.0, "temperature"),
            (1.0, 0.0, "top_p"),
            (1.0, 1.1, "top_p"),
            (1.0, f64::NAN, "top_p"),
        ] {
            let e = Sampling::new(t, 0, p).unwrap_err().to_string();
            assert!(e.starts_with(&format!("{field}: is ")), "{e}");
        }
    }
}
