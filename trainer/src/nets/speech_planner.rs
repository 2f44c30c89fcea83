//! What a word is to sound like before a sample of it is made: a variational autoencoder of the spectra of
//! recordings, told the word, the voice, and how long it takes.
//!
//! A [`Wavenet`](super::wavenet::Wavenet) that is told a plan has to find the samples, and not what to say as well,
//! as in systems that synthesise speech from text by way of spectra (Shen et al. 2018). Plans of random numbers are
//! ways of saying the word. A spectrum has as many moments as bands, so it is a square picture to the layers here.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

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
    /// Numbers in a code.
    pub code: usize,
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
        for (name, n) in [("hidden", self.hidden), ("code", self.code)] {
            if !(1..=4096).contains(&n) {
                return Err(format!("family.planner.{name} is {n}, it must lie in [1, 4096]"));
            }
        }
        Ok(())
    }
}

/// The network.
pub struct SpeechPlanner {
    word: usize,
    code: usize,
    encoder: ImageEncoder,
    understood: Linear,
    mean: Linear,
    log_variance: Linear,
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
            planned: Linear::new(store, "planned", code + word, hidden),
            decoder: ImageDecoder::new(store, hidden, seen.side(), config.width),
        }
    }

    /// `spectrum` `[batch, SIDE moments, SIDE bands]` and `word` `[batch, word]` to mean and log-variance of the code,
    /// `[batch, code]`.
    pub fn encode<O: Ops>(
        &self,
        ops: &mut O,
        spectrum: &O::Tensor,
        word: &O::Tensor,
    ) -> (O::Tensor, O::Tensor) {
        let picture = ops.reshape_rows(spectrum, &[1, SIDE, SIDE]);
        let seen = self.encoder.forward(ops, &picture).code;
        let x = ops.concat(&[&seen, word], 1);
        let x = ops.relu(&x);
        let x = ops.linear(&x, &self.understood);
        let x = ops.relu(&x);
        let log_variance = ops.linear(&x, &self.log_variance);
        (ops.linear(&x, &self.mean), ops.clamp(&log_variance, LOG_VARIANCE.0, LOG_VARIANCE.1))
    }

    /// `code` `[batch, code]`, of a standard normal distribution for a word that is made up, and `word`
    /// `[batch, word]` to the plan, `[batch, SIDE moments, SIDE bands]`.
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
    /// `planner` gives the plan of a word from random numbers, `encoder` the distribution of the numbers that stand
    /// for a recording.
    fn plans(&self) -> Vec<GraphPlan> {
        let rows = |name: &str, width: usize| {
            TensorSpec::new(name, Dtype::F32, [Dim::from(Dim::BATCH), Dim::Fixed(width)])
        };
        let spectrum = [Dim::from(Dim::BATCH), Dim::Fixed(SIDE), Dim::Fixed(SIDE)];
        let log_variance = [f64::from(LOG_VARIANCE.0), f64::from(LOG_VARIANCE.1)];
        vec![
            GraphPlan {
                name: "planner",
                inputs: vec![rows("word", self.word), rows("noise", self.code)],
                outputs: vec![("plan", None)],
                state: Vec::new(),
            },
            GraphPlan {
                name: "encoder",
                inputs: vec![rows("word", self.word), TensorSpec::new("spectrum", Dtype::F32, spectrum)],
                outputs: vec![("mean", None), ("log_variance", Some(log_variance))],
                state: Vec::new(),
            },
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "planner" {
            return vec![self.decode(ops, &inputs[1], &inputs[0])];
        }
        let (mean, log_variance) = self.encode(ops, &inputs[1], &inputs[0]);
        vec![mean, log_variance]
    }
}
