//! Where every random number of a run comes from.
//!
//! Nothing carries a generator from step to step: each use has a generator of its own, made from the run's
//! seed, the use, and the step or epoch. So a run that is resumed draws exactly what it would have drawn,
//! and no random state has to be saved.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Use: first values of parameters.
pub const INIT: u64 = 1;
/// Use: the order of samples in an epoch.
pub const ORDER: u64 = 2;
/// Use: libtorch's own generator (dropout, noise) in a step.
pub const STEP: u64 = 3;
/// Use: noise for validation and pictures, the same each time.
pub const VALIDATION: u64 = 4;

/// Use: what the statistics of normalisations are measured on.
pub const SETTLE: u64 = 5;
/// Use: how training images are changed in a step.
pub const AUGMENT: u64 = 6;
/// Use: the people that another model makes up to be learned from.
pub const LESSONS: u64 = 7;

/// Mixes words into one (Steele, Lea and Flood's SplitMix64 finaliser, 2014).
#[must_use]
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0, |state, &word| {
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A generator for one use, named by words such as `[seed, ORDER, epoch]`.
#[must_use]
pub fn generator(words: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(words))
}

/// Seeds libtorch's generator for one training step or one evaluation.
pub fn seed_torch(words: &[u64]) {
    // libtorch takes an i64: every bit pattern is a seed.
    tch::manual_seed(mix(words).cast_signed());
}

/// A number from the uniform distribution over [0, 1), of 53 random bits.
pub fn unit<R: Rng>(rng: &mut R) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// `count` numbers from the standard normal distribution (Box and Muller 1958).
pub fn normals<R: Rng>(rng: &mut R, count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |_| {
        // The first is kept away from 0 for the logarithm.
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit(rng)).cos()
    })
}

/// The numbers `0..count` in random order (Fisher and Yates).
pub fn permutation<R: Rng>(rng: &mut R, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    order
}

/// Standard normal numbers for a test, the same whatever tests run beside it: libtorch's generator is one for all.
#[cfg(test)]
pub(crate) fn normal_tensor(seed: u64, shape: &[i64]) -> tch::Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let mut rng = generator(&[seed]);
    let values: Vec<f32> = normals(&mut rng, count).map(|x| x as f32).collect();
    tch::Tensor::from_slice(&values).reshape(shape)
}
