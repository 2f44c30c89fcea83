//! Seeds, and the noise that is drawn from them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::EngineError;

/// The seed to use for a request that says `wanted`: that, or for 0 a fresh one, which is never 0.
pub fn resolve(wanted: u64) -> u64 {
    if wanted != 0 { wanted } else { rand::rng().next_u64().max(1) }
}

/// Numbers drawn evenly from [0, 1), the same for the same seed and stream on every platform.
#[derive(Debug, Clone)]
pub struct Uniform(ChaCha8Rng);

impl Uniform {
    /// One of many independent streams of numbers that a seed has.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// The next number.
    pub fn draw(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// `count` numbers from the standard normal distribution, the same for the same seed on every platform.
///
/// Box-Muller over ChaCha8, with logarithm and cosine of `libm` in Rust: those of the system's C library
/// differ between systems in the last bit.
pub fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::with_capacity(count + 1);
    while out.len() < count {
        // 53 random bits each; the first in (0, 1], so that its logarithm is finite.
        let unit = |bits: u64| (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
        let u = 1.0 - unit(rng.next_u64());
        let angle = std::f64::consts::TAU * unit(rng.next_u64());
        let radius = libm::sqrt(-2.0 * libm::log(u));
        out.push((radius * libm::cos(angle)) as f32);
        out.push((radius * libm::sin(angle)) as f32);
    }
    out.truncate(count);
    out
}

/// The same as a tensor of the given shape.
pub fn normal_tensor(seed: u64, shape: &[usize]) -> Result<atelier_package::Tensor, EngineError> {
    let count = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= 1 << 28);
    let count = count.ok_or_else(|| EngineError::invalid("shape", format!("{shape:?} is too large")))?;
    atelier_package::Tensor::f32(shape, normal(seed, count)).map_err(|e| EngineError::Runtime(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_of_zero_is_drawn_and_any_other_is_kept() {
        assert_eq!(resolve(7), 7);
        let (a, b) = (resolve(0), resolve(0));
        assert!(a != 0 && b != 0 && a != b);
    }

    #[test]
    fn the_same_seed_gives_the_same_noise_and_a_longer_draw_begins_alike() {
        assert_eq!(normal(3, 5), normal(3, 9)[..5]);
        assert_ne!(normal(3, 5), normal(4, 5));
        assert!(normal(1, 0).is_empty());
    }

    #[test]
    fn the_noise_is_pinned_so_that_old_seeds_stay_good() {
        let bits: Vec<u32> = normal(42, 4).iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits, PINNED, "the noise of every seed ever given out has changed");
    }

    const PINNED: [u32; 4] = [1069046335, 3203281001, 3208402348, 3208774011];

    #[test]
    fn even_numbers_are_pinned_and_each_stream_has_its_own() {
        let draw = |seed, stream| {
            let mut uniform = Uniform::new(seed, stream);
            (0..1000).map(|_| uniform.draw()).collect::<Vec<f64>>()
        };
        assert_eq!(draw(42, 3), draw(42, 3));
        assert!(draw(42, 3) != draw(42, 4) && draw(42, 3) != draw(43, 3));
        let all = draw(1, 0);
        assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
        assert!((all.iter().sum::<f64>() / 1000.0 - 0.5).abs() < 0.03);
        assert_eq!(draw(42, 3)[..2].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), PINNED_EVEN);
    }

    const PINNED_EVEN: [u64; 2] = [0, 0];

    #[test]
    fn the_noise_is_standard_normal() {
        let x = normal(1, 100_000);
        let n = x.len() as f64;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let var = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let within = x.iter().filter(|v| v.abs() < 1.0).count() as f64 / n;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02 && (within - 0.6827).abs() < 0.01);
        assert!(x.iter().all(|v| v.is_finite()));
    }
}
