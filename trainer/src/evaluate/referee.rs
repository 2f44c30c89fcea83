//! A judge of spoken digits: which digit is said, and by whom. A small convolutional network over log-mel
//! pictures that learns from real recordings alone, within seconds, and has nothing in common with the
//! networks that it judges.

use atelier_transforms::speech::Said;
use tch::{Device, Kind, Tensor};

use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::optim::{AdamW, OptimiserConfig};
use crate::random;
use crate::sound::mel;
use crate::store::Store;

/// Mel bands.
const BANDS: i64 = 26;
/// Moments that every recording is stretched or shrunk to.
const TIMES: i64 = 32;
/// Features of a recording, from which digit and speaker are told.
const FEATURES: usize = 64;
const EPOCHS: u64 = 25;
const BATCH: usize = 50;
/// Of the training's own random numbers.
const SEED: u64 = 77;

/// The judge.
pub struct Referee {
    convolutions: [Conv2d; 3],
    hidden: Linear,
    digit: Linear,
    speaker: Linear,
}

/// What was heard in some recordings.
pub struct Heard {
    /// Digit and speaker of each.
    pub said: Vec<Said>,
    /// f32 `[recordings, 64]`, for distances between sets of recordings.
    pub features: Tensor,
}

impl Heard {
    /// Parts in which digit and speaker were heard as they were meant.
    #[must_use]
    pub fn accuracy(&self, meant: &[Said]) -> (f64, f64) {
        let part = |right: &dyn Fn(&Said, &Said) -> bool| {
            let count = self.said.iter().zip(meant).filter(|(a, b)| right(a, b)).count();
            count as f64 / meant.len().max(1) as f64
        };
        (part(&|a, b| a.digit == b.digit), part(&|a, b| a.speaker == b.speaker))
    }
}

impl Referee {
    /// Learns from real recordings (samples of one loudness, 8 kHz). Seeds libtorch's generator.
    #[must_use]
    pub fn learn(recordings: &[(Said, Vec<f32>)], digits: usize, speakers: usize) -> Self {
        let mut store = Store::new(SEED, Device::Cpu);
        let mut convolution = |i: usize, inputs, outputs, stride| {
            Conv2d::new(&mut store, &format!("convolution.{i}"), inputs, outputs, 3, stride, 1.0)
        };
        let convolutions = [convolution(0, 1, 16, 1), convolution(1, 16, 32, 2), convolution(2, 32, 64, 2)];
        let area = ((BANDS + 3) / 4) * ((TIMES + 3) / 4);
        let referee = Self {
            convolutions,
            hidden: Linear::new(&mut store, "hidden", 64 * area as usize, FEATURES),
            digit: Linear::new(&mut store, "digit", FEATURES, digits),
            speaker: Linear::new(&mut store, "speaker", FEATURES, speakers),
        };
        let pictures = pictures(recordings.iter().map(|(_, samples)| samples.as_slice()));
        let class = |of: &dyn Fn(&Said) -> usize| {
            Tensor::from_slice(&recordings.iter().map(|(said, _)| of(said) as i64).collect::<Vec<_>>())
        };
        let (digits, speakers) = (class(&|said| said.digit), class(&|said| said.speaker));

        let config = OptimiserConfig {
            learning_rate: 2e-3,
            final_fraction: 0.01,
            warmup: 0.05,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.05,
            clip: 1.0,
            average: 0.0,
        };
        let mut optimiser = AdamW::new(&store, config.clone());
        let batch = BATCH.min(recordings.len()).max(1);
        let per_epoch = (recordings.len() / batch) as u64;
        for step in 0..EPOCHS * per_epoch {
            let mut rng = random::generator(&[SEED, random::ORDER, step / per_epoch]);
            let order = random::permutation(&mut rng, recordings.len());
            let start = (step % per_epoch) as usize * batch;
            let chosen: Vec<i64> = order[start..start + batch].iter().map(|&i| i as i64).collect();
            let chosen = Tensor::from_slice(&chosen);
            random::seed_torch(&[SEED, random::STEP, step]);
            let features = referee.features(&disturbed(&pictures.index_select(0, &chosen)));
            let (digit, speaker) = referee.opinions(&features.dropout(0.3, true));
            let loss = digit.cross_entropy_for_logits(&digits.index_select(0, &chosen))
                + speaker.cross_entropy_for_logits(&speakers.index_select(0, &chosen)) * 0.5;
            loss.backward();
            let rate = config.rate(step, EPOCHS * per_epoch);
            optimiser.update(&store, "", step, rate);
        }
        referee
    }

    /// Listens to recordings of any loudness.
    #[must_use]
    pub fn hear<'a>(&self, recordings: impl Iterator<Item = &'a [f32]>) -> Heard {
        tch::no_grad(|| {
            let features = self.features(&pictures(recordings));
            let (digit, speaker) = self.opinions(&features);
            let best = |x: Tensor| Vec::<i64>::try_from(x.argmax(1, false)).unwrap_or_default();
            let said = best(digit).into_iter().zip(best(speaker));
            let said = said.map(|(d, s)| Said { digit: d as usize, speaker: s as usize }).collect();
            Heard { said, features }
        })
    }

    fn features(&self, pictures: &Tensor) -> Tensor {
        let ops = &mut Eager::exact();
        let mut x = pictures.shallow_clone();
        for layer in &self.convolutions {
            x = ops.conv2d(&x, layer);
            x = ops.relu(&x);
        }
        let row = x.reshape([x.size()[0], -1]);
        let x = ops.linear(&row, &self.hidden);
        ops.relu(&x)
    }

    fn opinions(&self, features: &Tensor) -> (Tensor, Tensor) {
        let ops = &mut Eager::exact();
        (ops.linear(features, &self.digit), ops.linear(features, &self.speaker))
    }
}

/// Moves pictures a little in time and pitch, and adds noise.
fn disturbed(pictures: &Tensor) -> Tensor {
    let shift = Tensor::randint_low(-2, 3, [2], (Kind::Int64, Device::Cpu));
    let (time, pitch) = (shift.int64_value(&[0]), shift.int64_value(&[1]) / 2);
    pictures.roll([time, pitch], [3, 2]) + pictures.randn_like() * 0.1
}

/// Log-mel pictures, `[recordings, 1, 26, 32]`, mean 0 each.
fn pictures<'a>(recordings: impl Iterator<Item = &'a [f32]>) -> Tensor {
    let one = |samples: &[f32]| {
        let peak = samples.iter().fold(1e-4f32, |m, x| m.max(x.abs()));
        let samples: Vec<f32> = samples.iter().map(|x| x / peak).collect();
        let mel = mel::logarithms(&samples, 80, BANDS);
        let picture = mel.tr().unsqueeze(0).upsample_linear1d([TIMES], true, None);
        (&picture - picture.mean(Kind::Float)) / 4.0
    };
    Tensor::stack(&recordings.map(one).collect::<Vec<_>>(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_does_not_change_what_is_heard() {
        let tone: Vec<f32> = (0..3000).map(|i| 0.3 * (i as f32 * 0.2).sin()).collect();
        let quiet: Vec<f32> = tone.iter().map(|x| x * 0.05).collect();
        let both = pictures([tone.as_slice(), quiet.as_slice()].into_iter());
        assert_eq!(both.size(), [2, 1, BANDS, TIMES]);
        assert!((both.get(0) - both.get(1)).abs().max().double_value(&[]) < 1e-3);
    }
}
