//! Seeds, and the noise that is drawn from them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::EngineError;

/// The seed to use for a request that says `wanted`: that, or for 0 a fresh one, which is never 0.
pub fn resolve(wanted: u64) -> u64 {
    if wanted != 0 { wanted } else { rand::rng().next_u64().max(1) }
}

/// One of the 2^64 streams of random numbers that a seed has, the same on every platform and whichever of the
/// others are drawn from: ChaCha8 is a cipher in counter mode, and the number of the stream is its nonce.
#[derive(Debug, Clone)]
pub struct Noise {
    rng: ChaCha8Rng,
    /// The second of a pair of normal numbers.
    spare: Option<f32>,
}

impl Noise {
    /// The beginning of a stream.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare: None }
    }

    /// A number drawn evenly from 0 to 1, the latter excluded: 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number from the standard normal distribution.
    ///
    /// Box-Muller, with logarithm and cosine of `libm` in Rust: those of the system's C library differ
    /// between systems in the last bit.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // In (0, 1], so that its logarithm is finite.
        let u = 1.0 - self.unit();
        let angle = std::f64::consts::TAU * self.unit();
        let radius = libm::sqrt(-2.0 * libm::log(u));
        self.spare = Some((radius * libm::sin(angle)) as f32);
        (radius * libm::cos(angle)) as f32
    }
}

/// `count` numbers from the standard normal distribution: the beginning of stream 0 of the seed.
pub fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut noise = Noise::new(seed, 0);
    (0..count).map(|_| noise.normal()).collect()
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
    fn each_stream_is_its_own_and_stands_for_itself() {
        let draw = |stream| {
            let mut noise = Noise::new(42, stream);
            [noise.normal(), noise.normal(), noise.normal()]
        };
        assert_eq!(draw(0), normal(42, 3)[..]);
        assert_eq!(draw(9), draw(9));
        let all: std::collections::BTreeSet<_> =
            (0..100).chain([u64::MAX]).flat_map(draw).map(f32::to_bits).collect();
        assert_eq!(all.len(), 303);
        let mut noise = Noise::new(1, 1);
        let units: Vec<f64> = (0..10_000).map(|_| noise.unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((units.iter().sum::<f64>() / 10_000.0 - 0.5).abs() < 0.015);
    }

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
