//! A character-level recurrent network: embedding, LSTM layers, logits.
//!
//! It has two forms that compute the same function: [`CharRnn::step`] over [`Ops`] takes one character and
//! the state, and is what is exported; [`CharRnn::sequence`] runs whole sequences on libtorch's fused LSTM,
//! and is what is trained. A test holds them against each other.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Embedding, Linear, Lstm};
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`CharRnn`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CharRnnConfig {
    /// Width of a character's embedding.
    pub embedding: usize,
    /// LSTM layers.
    pub layers: usize,
    /// Units in each layer.
    pub hidden: usize,
}

/// How training is made harder, each a probability in [0, 1).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CharRnnDropout {
    /// Of the embedding.
    pub input: f64,
    /// Between layers; one mask for a whole sequence (Gal and Ghahramani 2016).
    pub between: f64,
    /// Of the last layer's output; one mask for a whole sequence.
    pub output: f64,
    /// Of the hidden-to-hidden weights (AWD-LSTM, Merity et al. 2018).
    pub weights: f64,
}

/// The network.
pub struct CharRnn {
    config: CharRnnConfig,
    vocabulary: usize,
    embedding: Embedding,
    layers: Vec<Lstm>,
    output: Linear,
}

/// Hidden and cell state, each `[layers, batch, hidden]`.
#[derive(Clone)]
pub struct State<T> {
    /// The layers' outputs.
    pub h: T,
    /// The layers' cells.
    pub c: T,
}

impl State<Tensor> {
    /// All zeros: the state before any text.
    #[must_use]
    pub fn zeros(config: &CharRnnConfig, batch: usize, device: tch::Device) -> Self {
        let shape = [config.layers as i64, batch as i64, config.hidden as i64];
        let zeros = || Tensor::zeros(shape, (Kind::Float, device));
        Self { h: zeros(), c: zeros() }
    }

    /// The same values, cut off from the gradient.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { h: self.h.detach(), c: self.c.detach() }
    }
}

impl CharRnn {
    /// With fresh parameters in `store`, for texts of `vocabulary` distinct characters.
    pub fn new(store: &mut Store, config: &CharRnnConfig, vocabulary: usize) -> Self {
        let layers = (0..config.layers)
            .map(|i| {
                let inputs = if i == 0 { config.embedding } else { config.hidden };
                (i, inputs)
            })
            .collect::<Vec<_>>();
        Self {
            config: config.clone(),
            vocabulary,
            embedding: Embedding::new(store, "embedding", vocabulary, config.embedding),
            layers: layers
                .into_iter()
                .map(|(i, inputs)| Lstm::new(store, &format!("lstm.{i}"), inputs, config.hidden))
                .collect(),
            output: Linear::new(store, "output", config.hidden, vocabulary),
        }
    }

    /// Its size.
    #[must_use]
    pub fn config(&self) -> &CharRnnConfig {
        &self.config
    }

    /// One character for each row: `token` i64 `[batch]` and state `h`, `c` in, logits `[batch, vocabulary]` and
    /// state out.
    pub fn step<O: Ops>(
        &self,
        ops: &mut O,
        token: &O::Tensor,
        h: &O::Tensor,
        c: &O::Tensor,
    ) -> (O::Tensor, State<O::Tensor>) {
        let mut x = ops.embedding(token, &self.embedding);
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        for (i, layer) in self.layers.iter().enumerate() {
            let h = ops.select(h, 0, i);
            let c = ops.select(c, 0, i);
            let gates = ops.lstm_gates(&x, &h, layer);
            let gates = ops.split(&gates, &[layer.width(); 4], 1);
            let input = ops.sigmoid(&gates[0]);
            let forget = ops.sigmoid(&gates[1]);
            let cell = ops.tanh(&gates[2]);
            let output = ops.sigmoid(&gates[3]);
            let kept = ops.mul(&forget, &c);
            let added = ops.mul(&input, &cell);
            let c = ops.add(&kept, &added);
            let bounded = ops.tanh(&c);
            let h = ops.mul(&output, &bounded);
            hs.push(std::mem::replace(&mut x, h));
            cs.push(c);
        }
        let logits = ops.linear(&x, &self.output);
        // What went through the layers is the embedding, then each layer's output but the last.
        hs.remove(0);
        hs.push(x);
        (logits, State { h: ops.stack(&hs), c: ops.stack(&cs) })
    }

    /// Whole sequences: `tokens` i64 `[time, batch]` and the state before them in; logits
    /// `[time, batch, vocabulary]` and the state after them out. `dropout` while training only.
    pub fn sequence(
        &self,
        tokens: &Tensor,
        state: &State<Tensor>,
        dropout: Option<&CharRnnDropout>,
    ) -> (Tensor, State<Tensor>) {
        let mut x = Tensor::embedding(&self.embedding.weight, tokens, -1, false, false);
        if let Some(d) = dropout {
            x = x.dropout(d.input, true);
        }
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        for (i, layer) in self.layers.iter().enumerate() {
            let hidden = match dropout {
                Some(d) if d.weights > 0.0 => layer.hidden.dropout(d.weights, true),
                _ => layer.hidden.shallow_clone(),
            };
            // libtorch's LSTM has two biases; ours is their sum.
            let no_bias = layer.bias.zeros_like().detach();
            let h = state.h.narrow(0, i as i64, 1).contiguous();
            let c = state.c.narrow(0, i as i64, 1).contiguous();
            let weights = [&layer.input, &hidden, &layer.bias, &no_bias];
            let (y, h, c) = x.lstm(&[&h, &c], &weights, true, 1, 0.0, dropout.is_some(), false, false);
            x = match dropout {
                Some(d) => {
                    let last = i + 1 == self.layers.len();
                    let p = if last { d.output } else { d.between };
                    let size = y.size();
                    let mask = Tensor::ones([1, size[1], size[2]], (Kind::Float, y.device()));
                    y * mask.dropout(p, true)
                }
                None => y,
            };
            hs.push(h);
            cs.push(c);
        }
        let logits = x.linear(&self.output.weight, Some(&self.output.bias));
        (logits, State { h: Tensor::cat(&hs, 0), c: Tensor::cat(&cs, 0) })
    }
}

impl Graphs for CharRnn {
    /// One `step`: a character in, logits of the next one out. The state starts at zero.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let state = [Dim::Fixed(self.config.layers), batch(), Dim::Fixed(self.config.hidden)];
        let last = (self.vocabulary - 1) as f64;
        vec![GraphPlan {
            name: "step",
            inputs: vec![
                TensorSpec::new("token", Dtype::I64, [batch()]).with_range(0.0, last),
                TensorSpec::new("h", Dtype::F32, state.clone()),
                TensorSpec::new("c", Dtype::F32, state),
            ],
            outputs: vec![("logits", None), ("h_next", None), ("c_next", None)],
            state: vec![("h", "h_next"), ("c", "c_next")],
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let (logits, state) = self.step(ops, &inputs[0], &inputs[1], &inputs[2]);
        vec![logits, state.h, state.c]
    }
}
