//! A recurrent autoencoder of windows of telemetry that also predicts the next value, as AER does
//! (Wong et al. 2022, "AER: Auto-Encoder with Regression for Time Series Anomaly Detection").
//!
//! One network for all channels of a spacecraft: an embedding says which channel it is. An LSTM reads the
//! window; its last output is the code, out of which a second LSTM, running from the last row to the first,
//! restores the values. The commands of every row are given to it: what a command does is no anomaly. Each of
//! the first LSTM's outputs also says what value the next row has, given that row's commands.
//!
//! Both say how sure they are of each value: the scale of a Laplace distribution around it (Nix and Weigend 1994
//! did so with a normal distribution, whose tails are lighter). So an error counts as much as it surprises.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Embedding, Linear, Lstm};
use crate::ops::Ops;
use crate::store::Store;

/// Values are limited to this on both sides before they are given to the network: a channel that hardly moved
/// while its scale was made may leave it by thousands.
pub const LIMIT: f32 = 4.0;

/// Size of a [`SequenceAutoencoder`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceAutoencoderConfig {
    /// Rows of a window.
    pub window: usize,
    /// Units of each LSTM.
    pub hidden: usize,
    /// Numbers in a code.
    pub code: usize,
    /// Width of a channel's embedding.
    pub embedding: usize,
    /// The least scale of an error that it can claim: it is never surer than that.
    pub least_scale: f32,
}

/// The network.
pub struct SequenceAutoencoder {
    config: SequenceAutoencoderConfig,
    columns: usize,
    channels: usize,
    embedding: Embedding,
    encoder: Lstm,
    code: Linear,
    decoder: Lstm,
    restored: Linear,
    mixed: Linear,
    predicted: Linear,
}

/// Values that a network expects, and how sure it is of each.
pub struct Expected<T> {
    /// The values.
    pub value: T,
    /// The scale of each one's error, at least the network's least.
    pub scale: T,
}

/// What the encoder makes of a window.
pub struct Encoded<T> {
    /// The channel's embedding, `[batch, embedding]`.
    pub channel: T,
    /// The encoder's outputs, `[batch, time, hidden]`.
    pub outputs: T,
}

impl SequenceAutoencoder {
    /// With fresh parameters in `store`, for rows of `columns` (the value and its commands) of `channels`
    /// channels.
    pub fn new(
        store: &mut Store,
        config: &SequenceAutoencoderConfig,
        columns: usize,
        channels: usize,
    ) -> Self {
        let &SequenceAutoencoderConfig { hidden, code, embedding, .. } = config;
        let commands = columns - 1;
        Self {
            config: config.clone(),
            columns,
            channels,
            embedding: Embedding::new(store, "channel", channels, embedding),
            encoder: Lstm::new(store, "encoder", columns + embedding, hidden),
            code: Linear::new(store, "code", hidden, code),
            decoder: Lstm::new(store, "decoder", code + embedding + commands, hidden),
            restored: Linear::new(store, "restored", hidden, 2),
            mixed: Linear::new(store, "mixed", hidden + embedding + commands, hidden),
            predicted: Linear::new(store, "predicted", hidden, 2),
        }
    }

    /// Its size.
    #[must_use]
    pub fn config(&self) -> &SequenceAutoencoderConfig {
        &self.config
    }

    /// Reads windows f32 `[batch, time, columns]` of channels i64 `[batch]`.
    pub fn encode<O: Ops>(&self, ops: &mut O, window: &O::Tensor, channel: &O::Tensor) -> Encoded<O::Tensor> {
        let channel = ops.embedding(channel, &self.embedding);
        let everywhere = ops.repeat(&channel, self.config.window);
        let rows = ops.concat(&[window, &everywhere], 2);
        Encoded { channel, outputs: ops.lstm(&rows, &self.encoder, false) }
    }

    /// The codes of windows: `[batch, code]`.
    pub fn code<O: Ops>(&self, ops: &mut O, encoded: &Encoded<O::Tensor>) -> O::Tensor {
        let last = ops.select(&encoded.outputs, 1, self.config.window - 1);
        let code = ops.linear(&last, &self.code);
        ops.tanh(&code)
    }

    /// The values that a code says, each `[batch, time, 1]`, given the commands `[batch, time, columns - 1]`.
    pub fn decode<O: Ops>(
        &self,
        ops: &mut O,
        code: &O::Tensor,
        channel: &O::Tensor,
        commands: &O::Tensor,
    ) -> Expected<O::Tensor> {
        let state = ops.concat(&[code, channel], 1);
        let everywhere = ops.repeat(&state, self.config.window);
        let rows = ops.concat(&[&everywhere, commands], 2);
        let outputs = ops.lstm(&rows, &self.decoder, true);
        let restored = ops.linear(&outputs, &self.restored);
        self.expected(ops, &restored, 2)
    }

    /// What follows: from outputs of the encoder `[…, hidden]`, the channel's embedding, the value of the same
    /// row `[…, 1]` and the commands of the next, the value of the next `[…, 1]`. All have the same leading
    /// axes, the batch or the batch and time.
    pub fn predict<O: Ops>(
        &self,
        ops: &mut O,
        output: &O::Tensor,
        channel: &O::Tensor,
        value: &O::Tensor,
        commands: &O::Tensor,
        axis: usize,
    ) -> Expected<O::Tensor> {
        let known = ops.concat(&[output, channel, commands], axis);
        let mixed = ops.linear(&known, &self.mixed);
        let mixed = ops.tanh(&mixed);
        let predicted = ops.linear(&mixed, &self.predicted);
        let Expected { value: change, scale } = self.expected(ops, &predicted, axis);
        Expected { value: ops.add(value, &change), scale }
    }

    /// Values and scales out of a layer's two outputs.
    fn expected<O: Ops>(&self, ops: &mut O, outputs: &O::Tensor, axis: usize) -> Expected<O::Tensor> {
        let mut parts = ops.split(outputs, &[1, 1], axis);
        let raw = parts.remove(1);
        // No error of a value is larger than twice the limit, which is e to this power.
        let raw = ops.clamp(&raw, -16.0, (2.0 * LIMIT).ln());
        let scale = ops.exp(&raw);
        Expected { value: parts.remove(0), scale: ops.affine(&scale, 1.0, self.config.least_scale) }
    }
}

impl Graphs for SequenceAutoencoder {
    /// `detector`: a window and its channel in; the window's values as the code tells them, and the last value
    /// as the rows before it foretell it, out, each with its scale.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let window = [batch(), Dim::Fixed(self.config.window), Dim::Fixed(self.columns)];
        let last = (self.channels - 1) as f64;
        vec![GraphPlan {
            name: "detector",
            inputs: vec![
                TensorSpec::new("window", Dtype::F32, window).with_range(-f64::from(LIMIT), f64::from(LIMIT)),
                TensorSpec::new("channel", Dtype::I64, [batch()]).with_range(0.0, last),
            ],
            outputs: vec![
                ("reconstruction", None),
                ("reconstruction_scale", None),
                ("prediction", None),
                ("prediction_scale", None),
            ],
            state: vec![],
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let window = &inputs[0];
        let time = self.config.window;
        let encoded = self.encode(ops, window, &inputs[1]);
        let code = self.code(ops, &encoded);
        let columns = ops.split(window, &[1, self.columns - 1], 2);
        let restored = self.decode(ops, &code, &encoded.channel, &columns[1]);
        let output = ops.select(&encoded.outputs, 1, time - 2);
        let value = ops.select(&columns[0], 1, time - 2);
        let commands = ops.select(&columns[1], 1, time - 1);
        let prediction = self.predict(ops, &output, &encoded.channel, &value, &commands, 1);
        vec![
            ops.reshape_rows(&restored.value, &[time]),
            ops.reshape_rows(&restored.scale, &[time]),
            ops.reshape_rows(&prediction.value, &[]),
            ops.reshape_rows(&prediction.scale, &[]),
        ]
    }
}
