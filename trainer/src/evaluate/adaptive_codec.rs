//! What sound costs without a neural network: counts of levels, and a codec that predicts each sample from
//! the 16 before it by least squares, adapting as it goes, and codes what is left.
//!
//! The codec is recursive least squares (Haykin, "Adaptive Filter Theory", chapter 10) with a forgetting
//! factor, started from the best constant predictor of the training recordings. The residual is taken for
//! logistic, its scale from two running means of its size; the few constants are tuned on training
//! recordings. All of it is told the levels only, as the network is.

use anyhow::ensure;
use atelier_transforms::speech::MuLaw;
use tch::{Kind, Tensor};

/// Samples that a prediction is made from.
const ORDER: usize = 16;
/// Part of the past that still counts one sample later.
const FORGETTING: f64 = 0.998;
/// Chance of a level that is left to how often it is used at all.
const FLOOR: f64 = 0.003;
/// One training recording among this many is used to tune the constants.
const TUNED_ON: usize = 30;

/// How often each level is used, and after which.
pub struct LevelCounts {
    single: Vec<f64>,
    pairs: Vec<f64>,
}

impl LevelCounts {
    /// Counts tokens below `levels`. Pairs are smoothed with 8 of what levels are used for at all.
    #[must_use]
    pub fn fit(train: &[Vec<i64>], levels: usize) -> Self {
        let mut single = vec![0.5; levels];
        for &token in train.iter().flatten() {
            single[token as usize] += 1.0;
        }
        let total: f64 = single.iter().sum();
        single.iter_mut().for_each(|count| *count /= total);
        let mut pairs: Vec<f64> = (0..levels).flat_map(|_| single.iter().map(|p| 8.0 * p)).collect();
        for pair in train.iter().flat_map(|clip| clip.windows(2)) {
            pairs[pair[0] as usize * levels + pair[1] as usize] += 1.0;
        }
        for row in pairs.chunks_mut(levels) {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|count| *count /= total);
        }
        Self { single, pairs }
    }

    /// Bits of a recording by how often its levels are used.
    #[must_use]
    pub fn unigram_bits(&self, tokens: &[i64]) -> f64 {
        tokens.iter().map(|&token| -self.single[token as usize].log2()).sum()
    }

    /// Bits of a recording by how often its levels are used after each other.
    #[must_use]
    pub fn bigram_bits(&self, tokens: &[i64]) -> f64 {
        let levels = self.single.len();
        let pairs = tokens.windows(2).map(|p| -self.pairs[p[0] as usize * levels + p[1] as usize].log2());
        self.unigram_bits(&tokens[..tokens.len().min(1)]) + pairs.sum::<f64>()
    }
}

/// How wide the residual is taken for.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Of the fast running mean of its size.
    fast: f64,
    /// Of the slow one.
    slow: f64,
    /// Of the prediction's size.
    prediction: f64,
    /// At least.
    least: f64,
    /// Whether three tenths are taken to be 2.5 times as wide.
    tails: bool,
}

/// One sample as the codec foresaw it.
struct Foreseen {
    token: usize,
    prediction: f64,
    fast: f64,
    slow: f64,
}

/// The codec.
pub struct AdaptiveCodec {
    start: Vec<f64>,
    single: Vec<f64>,
    /// The lower end of each level, and the upper end of the last.
    edges: Vec<f64>,
    samples: Vec<f64>,
    scale: Scale,
}

impl AdaptiveCodec {
    /// Fits the constant predictor on `train` and tunes the rest on every 30th of it.
    ///
    /// # Errors
    /// There is nothing to fit on.
    pub fn fit(train: &[Vec<i64>], law: &MuLaw) -> anyhow::Result<Self> {
        ensure!(!train.is_empty(), "there are no recordings to fit the codec on");
        let levels = law.levels();
        let samples: Vec<f64> = (0..levels).map(|token| f64::from(law.decode(token))).collect();
        let mut codec = Self {
            start: constant_predictor(train, &samples),
            single: LevelCounts::fit(train, levels).single,
            edges: edges(levels),
            samples,
            scale: Scale { fast: 0.3, slow: 0.1, prediction: 0.008, least: 1e-5, tails: true },
        };
        let tuning: Vec<_> = train.iter().step_by(TUNED_ON).map(|tokens| codec.foresee(tokens)).collect();
        let mut best = f64::INFINITY;
        for scale in Scale::candidates() {
            let bits: f64 = tuning.iter().map(|clip| codec.cost(clip, scale)).sum();
            if bits < best {
                (best, codec.scale) = (bits, scale);
            }
        }
        Ok(codec)
    }

    /// Bits of a recording.
    #[must_use]
    pub fn bits(&self, tokens: &[i64]) -> f64 {
        self.cost(&self.foresee(tokens), self.scale)
    }

    fn foresee(&self, tokens: &[i64]) -> Vec<Foreseen> {
        let mut filter = self.start.clone();
        let mut inverse = [[0.0; ORDER]; ORDER];
        for (i, row) in inverse.iter_mut().enumerate() {
            row[i] = 30.0;
        }
        let mut past = [0.0; ORDER];
        let (mut fast, mut slow) = (1e-3, 1e-3);
        let mut foreseen = Vec::with_capacity(tokens.len());
        for (t, &token) in tokens.iter().enumerate() {
            let sample = self.samples[token as usize];
            let raw = dot(&past, &filter);
            let mut gain = inverse.map(|row| dot(&row, &past));
            let behind: [f64; ORDER] =
                std::array::from_fn(|j| (0..ORDER).map(|i| past[i] * inverse[i][j]).sum());
            let norm = FORGETTING + dot(&past, &gain) + 1e-5;
            gain.iter_mut().for_each(|g| *g /= norm);
            for (weight, g) in filter.iter_mut().zip(&gain) {
                *weight += g * (sample - raw);
            }
            for (row, g) in inverse.iter_mut().zip(&gain) {
                for (cell, b) in row.iter_mut().zip(&behind) {
                    *cell = (*cell - g * b) / FORGETTING;
                }
            }
            if t.is_multiple_of(50) {
                let copy = inverse;
                for (i, row) in inverse.iter_mut().enumerate() {
                    for (j, cell) in row.iter_mut().enumerate() {
                        *cell = (copy[i][j] + copy[j][i]) / 2.0;
                    }
                }
            }
            let prediction = if raw.is_finite() { raw.clamp(-1.2, 1.2) } else { 0.0 };
            foreseen.push(Foreseen { token: token as usize, prediction, fast, slow });
            let size = (sample - prediction).abs();
            fast = 0.85 * fast + 0.15 * size;
            slow = 0.98 * slow + 0.02 * size;
            past.rotate_right(1);
            past[0] = sample;
        }
        foreseen
    }

    fn cost(&self, clip: &[Foreseen], scale: Scale) -> f64 {
        let bits = |f: &Foreseen| {
            let width = scale.fast * f.fast
                + scale.slow * f.slow
                + scale.prediction * f.prediction.abs()
                + scale.least;
            let (low, high) = (self.edges[f.token] - f.prediction, self.edges[f.token + 1] - f.prediction);
            let within = |width: f64| logistic(high / width) - logistic(low / width);
            let chance =
                if scale.tails { 0.7 * within(width) + 0.3 * within(2.5 * width) } else { within(width) };
            -((1.0 - FLOOR) * chance + FLOOR * self.single[f.token]).log2()
        };
        clip.iter().map(bits).sum()
    }
}

impl Scale {
    fn candidates() -> impl Iterator<Item = Self> {
        let tails = [true, false].into_iter();
        tails.flat_map(|tails| {
            [1e-5, 5e-5].into_iter().flat_map(move |least| {
                [0.004, 0.008, 0.014].into_iter().flat_map(move |prediction| {
                    [0.05, 0.1, 0.2].into_iter().flat_map(move |slow| {
                        [0.2, 0.3, 0.45].into_iter().map(move |fast| Self {
                            fast,
                            slow,
                            prediction,
                            least,
                            tails,
                        })
                    })
                })
            })
        })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x.clamp(-60.0, 60.0)).exp())
}

/// Samples halfway between the levels, in the mu-law's own measure; the ends are open.
fn edges(levels: usize) -> Vec<f64> {
    let mu = levels as f64 - 1.0;
    let sample = |place: f64| {
        let y = 2.0 * place / mu - 1.0;
        y.signum() * ((1.0 + mu).powf(y.abs()) - 1.0) / mu
    };
    let mut edges: Vec<f64> = (0..=levels).map(|i| sample(i as f64 - 0.5)).collect();
    (edges[0], edges[levels]) = (-1e9, 1e9);
    edges
}

/// The 16 weights that predict best in the mean over all recordings, each counted by its own power.
fn constant_predictor(train: &[Vec<i64>], samples: &[f64]) -> Vec<f64> {
    let mut square = vec![0.0; ORDER * ORDER];
    let mut cross = vec![0.0; ORDER];
    for clip in train {
        let clip: Vec<f64> = clip.iter().map(|&token| samples[token as usize]).collect();
        let power = 1e-4 + dot(&clip, &clip) / clip.len().max(1) as f64;
        let mut past = [0.0; ORDER];
        for &sample in &clip {
            for (i, &p) in past.iter().enumerate() {
                cross[i] += p * sample / power;
                for (cell, q) in square[i * ORDER..][..ORDER].iter_mut().zip(&past) {
                    *cell += p * q / power;
                }
            }
            past.rotate_right(1);
            past[0] = sample;
        }
    }
    let order = ORDER as i64;
    let square = Tensor::from_slice(&square).reshape([order, order]);
    let ridge = square.trace() * (1e-5 / ORDER as f64);
    let square = square + Tensor::eye(order, (Kind::Double, tch::Device::Cpu)) * ridge;
    let weights = Tensor::linalg_solve(&square, &Tensor::from_slice(&cross), true);
    let mut out = vec![0.0; ORDER];
    weights.copy_data(&mut out, ORDER);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decaying tones with a little noise, on 256 levels.
    fn tones(count: usize) -> Vec<Vec<i64>> {
        let law = MuLaw::new(256);
        let mut rng = crate::random::generator(&[11]);
        let noise: Vec<f64> = crate::random::normals(&mut rng, count * 600).collect();
        (0..count)
            .map(|i| {
                let sample = |t: usize| {
                    let angle = t as f64 * (0.1 + 0.02 * i as f64);
                    0.4 * angle.sin() * (-(t as f64) / 400.0).exp() + 0.002 * noise[i * 600 + t]
                };
                (0..600).map(|t| law.encode(sample(t)) as i64).collect()
            })
            .collect()
    }

    #[test]
    fn a_codec_that_predicts_needs_fewer_bits_than_counts_of_pairs_and_those_than_counts() {
        let (train, test) = (tones(8), tones(10).split_off(8));
        let counts = LevelCounts::fit(&train, 256);
        let codec = AdaptiveCodec::fit(&train, &MuLaw::new(256)).unwrap();
        let mean = |bits: &dyn Fn(&[i64]) -> f64| test.iter().map(|c| bits(c)).sum::<f64>() / 1200.0;
        let unigram = mean(&|c| counts.unigram_bits(c));
        let bigram = mean(&|c| counts.bigram_bits(c));
        let adaptive = mean(&|c| codec.bits(c));
        assert!(
            adaptive < bigram - 0.5 && bigram < unigram && unigram < 8.5,
            "{adaptive} {bigram} {unigram}"
        );
    }

    #[test]
    fn the_chances_of_all_levels_sum_to_one() {
        let train = tones(4);
        let codec = AdaptiveCodec::fit(&train, &MuLaw::new(256)).unwrap();
        let counts = LevelCounts::fit(&train, 256);
        let sum = |bits: &dyn Fn(&[i64]) -> f64| -> f64 {
            let before = bits(&train[0][..50]);
            let after = |token| bits(&[&train[0][..50], &[token]].concat()) - before;
            (0..256).map(|token| (-after(token)).exp2()).sum()
        };
        for (name, total) in [
            ("codec", sum(&|c| codec.bits(c))),
            ("bigram", sum(&|c| counts.bigram_bits(c))),
            ("unigram", sum(&|c| counts.unigram_bits(c))),
        ] {
            assert!((total - 1.0).abs() < 1e-6, "{name}: {total}");
        }
    }
}
