//! A recurrent autoencoder of windows of telemetry that also predicts the next value, as AER does
//! (Wong et al. 2022, "AER: Auto-Encoder with Regression for Time Series Anomaly Detection").
//!
//! One network for all channels of a spacecraft: an embedding says which channel it is. An LSTM reads the
//! window; its last output is the code, out of which a second LSTM, running from the last row to the first,
//! restores the values. The commands of every row are given to it: what a command does is no anomaly. Each of
//! the first LSTM's outputs also says what value the next row has, given that row's commands.

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
            restored: Linear::new(store, "restored", hidden, 1),
            mixed: Linear::new(store, "mixed", hidden + embedding + commands, hidden),
            predicted: Linear::new(store, "predicted", hidden, 1),
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

    /// The values that a code says, `[batch, time, 1]`, given the commands `[batch, time, columns - 1]`.
    pub fn decode<O: Ops>(
        &self,
        ops: &mut O,
        code: &O::Tensor,
        channel: &O::Tensor,
        commands: &O::Tensor,
    ) -> O::Tensor {
        let state = ops.concat(&[code, channel], 1);
        let everywhere = ops.repeat(&state, self.config.window);
        let rows = ops.concat(&[&everywhere, commands], 2);
        let outputs = ops.lstm(&rows, &self.decoder, true);
        ops.linear(&outputs, &self.restored)
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
    ) -> O::Tensor {
        let known = ops.concat(&[output, channel, commands], axis);
        let mixed = ops.linear(&known, &self.mixed);
        let mixed = ops.tanh(&mixed);
        let change = ops.linear(&mixed, &self.predicted);
        ops.add(value, &change)
    }
}

impl Graphs for SequenceAutoencoder {
    /// `detector`: a window and its channel in; the window's values as the code tells them, and the last value
    /// as the rows before it foretell it, out.
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
            outputs: vec![("reconstruction", None), ("prediction", None)],
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
        let reconstruction = ops.reshape_rows(&restored, &[time]);
        let output = ops.select(&encoded.outputs, 1, time - 2);
        let value = ops.select(&columns[0], 1, time - 2);
        let commands = ops.select(&columns[1], 1, time - 1);
        let prediction = self.predict(ops, &output, &encoded.channel, &value, &commands, 1);
        let prediction = ops.reshape_rows(&prediction, &[]);
        vec![reconstruction, prediction]
    }
}
