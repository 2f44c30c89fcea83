//! What a word is to sound like before a sample of it is made: a variational autoencoder of the spectra of
//! recordings, told the word, the voice, and how long it takes.
//!
//! A [`Wavenet`](super::wavenet::Wavenet) that is told a plan has to find the samples, and not what to say as well,
//! as in systems that synthesise speech from text by way of spectra (Shen et al. 2018). Plans of random numbers are
//! ways of saying the word: a [`CouplingFlow`] makes codes of them, for the codes of recordings are not spread as
//! random numbers are. A spectrum has as many moments as bands, so it is a square picture to the layers here.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::coupling_flow::{CouplingFlow, sum};
use super::image_decoder::ImageDecoder;
use super::image_encoder::{ImageEncoder, ImageEncoderConfig};
use super::vae::LOG_VARIANCE;
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Moments of a plan, and bands of each.
pub const SIDE: usize = 32;

/// Size of a [`SpeechPlanner`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechPlannerConfig {
    /// Channels of the encoder at half a spectrum's size, twice as many at a quarter; and of the decoder, which has
    /// four times as many at a quarter. Even.
    pub width: usize,
    /// Units of the layers between convolutions and code.
    pub hidden: usize,
    /// Numbers in a code. Even.
    pub code: usize,
    /// Couplings of the flow from random numbers to codes, with layers of as many units.
    pub couplings: usize,
}

impl SpeechPlannerConfig {
    /// Says which field is out of range.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.width < 2 || !self.width.is_multiple_of(2) || self.width > 1024 {
            return Err(format!(
                "family.planner.width is {}, it must be even and lie in [2, 1024]",
                self.width
            ));
        }
        if !(1..=4096).contains(&self.hidden) {
            return Err(format!("family.planner.hidden is {}, it must lie in [1, 4096]", self.hidden));
        }
        if self.code < 2 || !self.code.is_multiple_of(2) || self.code > 4096 {
            return Err(format!(
                "family.planner.code is {}, it must be even and lie in [2, 4096]",
                self.code
            ));
        }
        if !(1..=64).contains(&self.couplings) {
            return Err(format!("family.planner.couplings is {}, it must lie in [1, 64]", self.couplings));
        }
        Ok(())
    }
}

/// What stands for a recording.
pub struct Reading<T> {
    /// Its code, `[batch, code]`.
    pub code: T,
    /// The random numbers that give this code for its word, `[batch, code]`.
    pub noise: T,
    /// What they cost in nats, `[batch, 1]`: on average the divergence of what the encoder says from what the flow
    /// makes of standard normal numbers.
    pub nats: T,
}

/// The network.
pub struct SpeechPlanner {
    word: usize,
    code: usize,
    encoder: ImageEncoder,
    understood: Linear,
    mean: Linear,
    log_variance: Linear,
    flow: CouplingFlow,
    planned: Linear,
    decoder: ImageDecoder,
}

impl SpeechPlanner {
    /// With fresh parameters in `store`, for words of `word` numbers.
    pub fn new(store: &mut Store, config: &SpeechPlannerConfig, word: usize) -> Self {
        let (hidden, code) = (config.hidden, config.code);
        let seen = ImageEncoderConfig {
            size: SIDE,
            width: config.width,
            outer_blocks: 1,
            inner_blocks: 1,
            code: hidden,
        };
        Self {
            word,
            code,
            encoder: ImageEncoder::new(store, "plan_encoder.", &seen),
            understood: Linear::new(store, "understood", hidden + word, hidden),
            mean: Linear::new(store, "mean", hidden, code),
            log_variance: Linear::new(store, "log_variance", hidden, code),
            flow: CouplingFlow::new(store, "flow", (config.couplings, hidden), (code, word)),
            planned: Linear::new(store, "planned", code + word, hidden),
            decoder: ImageDecoder::new(store, hidden, seen.side(), config.width),
        }
    }

    /// `spectrum` `[batch, SIDE moments, SIDE bands]` and `word` `[batch, word]` to mean and log-variance of the code,
    /// `[batch, code]`.
    fn encode<O: Ops>(&self, ops: &mut O, spectrum: &O::Tensor, word: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let picture = ops.reshape_rows(spectrum, &[1, SIDE, SIDE]);
        let seen = self.encoder.forward(ops, &picture).code;
        let x = ops.concat(&[&seen, word], 1);
        let x = ops.relu(&x);
        let x = ops.linear(&x, &self.understood);
        let x = ops.relu(&x);
        let log_variance = ops.linear(&x, &self.log_variance);
        (ops.linear(&x, &self.mean), ops.clamp(&log_variance, LOG_VARIANCE.0, LOG_VARIANCE.1))
    }

    /// What stands for recordings of these spectra and words, by a code that is drawn with `draw` `[batch, code]`,
    /// standard normal, from what the encoder says.
    pub fn read<O: Ops>(
        &self,
        ops: &mut O,
        spectrum: &O::Tensor,
        word: &O::Tensor,
        draw: &O::Tensor,
    ) -> Reading<O::Tensor> {
        let (mean, log_variance) = self.encode(ops, spectrum, word);
        let half = ops.affine(&log_variance, 0.5, 0.0);
        let deviation = ops.exp(&half);
        let off = ops.mul(&deviation, draw);
        let code = ops.add(&mean, &off);
        let (noise, room) = self.flow.inverse(ops, &code, word);
        // The encoder's own part by its mean, for which there is a formula: it needs no square of `draw`.
        let square = ops.mul(&noise, &noise);
        let more = ops.sub(&square, &log_variance);
        let more = ops.affine(&more, 0.5, -0.5);
        let more = sum(ops, &more, self.code);
        Reading { nats: ops.add(&more, &room), code, noise }
    }

    /// The code `[batch, code]` of standard normal numbers `[batch, code]`, a way of saying `word`.
    pub fn draw<O: Ops>(&self, ops: &mut O, noise: &O::Tensor, word: &O::Tensor) -> O::Tensor {
        self.flow.forward(ops, noise, word)
    }

    /// `code` `[batch, code]` and `word` `[batch, word]` to the plan, `[batch, SIDE moments, SIDE bands]`.
    pub fn decode<O: Ops>(&self, ops: &mut O, code: &O::Tensor, word: &O::Tensor) -> O::Tensor {
        let x = ops.concat(&[code, word], 1);
        let x = ops.linear(&x, &self.planned);
        let x = ops.relu(&x);
        let plan = self.decoder.forward(ops, &x);
        ops.reshape_rows(&plan, &[SIDE, SIDE])
    }

    /// Numbers in a code.
    #[must_use]
    pub fn code(&self) -> usize {
        self.code
    }
}

impl Graphs for SpeechPlanner {
    /// `planner` gives the plan of a word from random numbers, `encoder` the random numbers that stand for a recording
    /// and what they cost.
    fn plans(&self) -> Vec<GraphPlan> {
        let rows = |name: &str, width: usize| {
            TensorSpec::new(name, Dtype::F32, [Dim::from(Dim::BATCH), Dim::Fixed(width)])
        };
        let spectrum = [Dim::from(Dim::BATCH), Dim::Fixed(SIDE), Dim::Fixed(SIDE)];
        vec![
            GraphPlan {
                name: "planner",
                inputs: vec![rows("word", self.word), rows("noise", self.code)],
                outputs: vec![("plan", None)],
                state: Vec::new(),
            },
            GraphPlan {
                name: "encoder",
                inputs: vec![
                    rows("word", self.word),
                    TensorSpec::new("spectrum", Dtype::F32, spectrum),
                    rows("draw", self.code),
                ],
                outputs: vec![("noise", None), ("nats", None)],
                state: Vec::new(),
            },
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "planner" {
            let code = self.draw(ops, &inputs[1], &inputs[0]);
            return vec![self.decode(ops, &code, &inputs[0])];
        }
        let reading = self.read(ops, &inputs[1], &inputs[0], &inputs[2]);
        vec![reading.noise, reading.nats]
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::ops::eager::Eager;
    use crate::random::normal_tensor as normal;

    const WORD: i64 = 3;
    const CODE: i64 = 4;

    fn planner() -> SpeechPlanner {
        let mut store = Store::new(3, Device::Cpu);
        let config = SpeechPlannerConfig { width: 4, hidden: 12, code: CODE as usize, couplings: 2 };
        let planner = SpeechPlanner::new(&mut store, &config, WORD as usize);
        for (i, (name, parameter)) in store.named().into_iter().enumerate() {
            if name.starts_with("flow.") {
                let values = normal(i as u64, &parameter.size()) * 0.3;
                tch::no_grad(|| parameter.shallow_clone().copy_(&values));
            }
        }
        planner
    }

    #[test]
    fn the_numbers_that_are_read_give_the_code_again() {
        let (planner, ops, side) = (planner(), &mut Eager::exact(), SIDE as i64);
        let (spectrum, word) = (normal(91, &[5, side, side]), normal(92, &[5, WORD]));
        let reading = planner.read(ops, &spectrum, &word, &normal(93, &[5, CODE]));
        let again = planner.draw(ops, &reading.noise, &word);
        assert!((again - &reading.code).abs().max().double_value(&[]) < 1e-4);
        assert!((&reading.code - &reading.noise).abs().max().double_value(&[]) > 0.1);
    }

    #[test]
    fn numbers_cost_on_average_what_the_encoder_says_more_than_the_flow_knows() {
        let (planner, ops, side) = (planner(), &mut Eager::exact(), SIDE as i64);
        let many = 20_000;
        let spectrum = normal(91, &[1, side, side]).expand([many, side, side], false);
        let word = normal(92, &[1, WORD]).expand([many, WORD], false);
        let nats = tch::no_grad(|| {
            let draw = normal(93, &[many, CODE]);
            let reading = planner.read(ops, &spectrum, &word, &draw);
            // By the densities themselves: of the code as the encoder draws it, and of the noise that gives it, by the
            // room that codes have there.
            let (_, log_variance) = planner.encode(ops, &spectrum, &word);
            let (_, room) = planner.flow.inverse(ops, &reading.code, &word);
            let log_density = |x: &Tensor| x.square().sum_dim_intlist(1, true, Kind::Float) * -0.5;
            let half = log_variance.sum_dim_intlist(1, true, Kind::Float) * 0.5;
            let right = log_density(&draw) - half - (log_density(&reading.noise) - room);
            (reading.nats.mean(Kind::Float).double_value(&[]), right.mean(Kind::Float).double_value(&[]))
        });
        assert!(nats.0 > 0.1 && (nats.0 - nats.1).abs() < 0.05, "{nats:?}");
    }
}
