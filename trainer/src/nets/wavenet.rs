//! WaveNet (van den Oord et al. 2016): a stack of gated convolutions over past samples, each reaching further
//! back than the one before, conditioned on what is said.
//!
//! It has two forms that compute the same function: [`Wavenet::step`] over [`Ops`] takes one sample and what
//! the layers gave in steps past, and is what is exported; [`Wavenet::sequence`] runs whole recordings on
//! libtorch, and is what is trained. A test holds them against each other.
//!
//! Of a layer's three taps, two are known before the step begins: what they add to all layers is one
//! product. What is left of a layer in a step is two products with their nonlinearities, one multiplication,
//! and one product onto the layer's input; what the layers skip to is joined and multiplied once. So a step
//! graph has few nodes, which is what its time goes into.

use atelier_package::{DelayLines, Dim, Dtype, TensorSpec};
use atelier_transforms::speech::FRAME;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::graphs::{GraphPlan, Graphs};
use crate::layers::{Embedding, Linear, Matrices, Matrix};
use crate::ops::Ops;
use crate::ops::eager::Precision;
use crate::store::Store;

/// Taps of a layer that lie in the past.
const TAPS: usize = 2;

/// Size of a [`Wavenet`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WavenetConfig {
    /// Levels of a sample.
    pub levels: usize,
    /// Channels of the residual stream.
    pub width: usize,
    /// Channels that the layers skip to.
    pub skip: usize,
    /// Layers in a cycle: the distance between a layer's taps is 1, 3, 9 … samples.
    pub cycle: usize,
    /// Cycles.
    pub cycles: usize,
    /// Units in the first layer that looks at the condition; a third as many in the second.
    pub condition: usize,
}

impl WavenetConfig {
    /// Distance between the taps of each layer, in samples.
    #[must_use]
    pub fn delays(&self) -> Vec<usize> {
        (0..self.cycles).flat_map(|_| (0..self.cycle).map(|i| 3usize.pow(i as u32))).collect()
    }

    /// Samples that the network looks at.
    #[must_use]
    pub fn receptive_field(&self) -> usize {
        1 + TAPS * self.delays().iter().sum::<usize>()
    }

    /// Says which field is out of range.
    ///
    /// # Errors
    /// The field and its range.
    pub fn validate(&self) -> Result<(), String> {
        let within = |name: &str, n: usize, low: usize, high: usize| {
            if (low..=high).contains(&n) {
                Ok(())
            } else {
                Err(format!("family.network.{name} is {n}, it must lie in [{low}, {high}]"))
            }
        };
        within("levels", self.levels, 16, 65536)?;
        within("width", self.width, 1, 4096)?;
        within("skip", self.skip, 1, 4096)?;
        within("cycle", self.cycle, 1, 10)?;
        within("cycles", self.cycles, 1, 16)?;
        within("condition", self.condition, 3, 4096)?;
        if self.levels.is_multiple_of(2) { Ok(()) } else { Err("family.network.levels must be even".into()) }
    }
}

/// What a layer does with its own newest input.
struct Layer {
    filter: Matrix,
    gate: Matrix,
    /// Back into the stream; the last layer has none.
    residual: Option<Matrix>,
}

/// The network.
pub struct Wavenet {
    config: WavenetConfig,
    condition: usize,
    embedding: Embedding,
    layers: Vec<Layer>,
    /// Past inputs of each layer to its filter and gate.
    taps: Matrices,
    /// Three layers from the condition to what it adds to all filters and gates.
    context: [Linear; 3],
    /// From what the layers skip to, to the logits.
    head: [Linear; 3],
}

impl Wavenet {
    /// With fresh parameters in `store`, for conditions of `condition` numbers.
    pub fn new(store: &mut Store, config: &WavenetConfig, condition: usize) -> Self {
        let (width, count) = (config.width, config.cycle * config.cycles);
        // Three taps together keep the variance.
        let deviation = (1.0 / ((1 + TAPS) * width) as f64).sqrt();
        // All layers together add about as much to the stream as there was.
        let branch = (1.0 / (width * count) as f64).sqrt();
        let layers = (0..count)
            .map(|i| {
                let mut matrix = |part: &str, deviation| {
                    Matrix::new(store, &format!("layer.{i}.{part}"), width, width, deviation)
                };
                Layer {
                    filter: matrix("filter", deviation),
                    gate: matrix("gate", deviation),
                    residual: (i + 1 < count).then(|| matrix("residual", 2.0 * branch)),
                }
            })
            .collect();
        let mut linear = |name: &str, inputs, outputs| Linear::new(store, name, inputs, outputs);
        let second = config.condition / 3;
        let context = [
            linear("context.0", condition, config.condition),
            linear("context.1", config.condition, second),
            linear("context.2", second, 2 * width * count),
        ];
        let head = [
            linear("head.0", width * count, config.skip),
            linear("head.1", config.skip, config.skip),
            linear("head.2", config.skip, config.levels),
        ];
        Self {
            config: config.clone(),
            condition,
            embedding: Embedding::new(store, "embedding", config.levels, width),
            layers,
            taps: Matrices::new(store, "taps", count, TAPS * width, 2 * width, deviation),
            context,
            head,
        }
    }

    /// Its size.
    #[must_use]
    pub fn config(&self) -> &WavenetConfig {
        &self.config
    }

    /// One sample for each row: `token` i64 `[batch]`, the newest sample; `taps` `[batch, layers, 2, width]`,
    /// where `[_, l, k, _]` is what layer `l` pushed `(k + 1) * delays[l]` steps ago, 0 before the start; and
    /// `condition` `[batch, condition]`. Gives the logits of the next sample, `[batch, levels]`, and what each
    /// layer pushes, its input in this step, `[batch, layers, width]`.
    pub fn step<O: Ops>(
        &self,
        ops: &mut O,
        token: &O::Tensor,
        taps: &O::Tensor,
        condition: &O::Tensor,
    ) -> (O::Tensor, O::Tensor) {
        let (width, count) = (self.config.width, self.layers.len());
        let past = ops.reshape_rows(taps, &[count, TAPS * width]);
        let past = ops.multiply_each(&past, &self.taps);
        let past = ops.reshape_rows(&past, &[count * 2 * width]);
        let context = self.look(ops, condition);
        let known = ops.add(&past, &context);
        let known = ops.split(&known, &vec![width; 2 * count], 1);

        let mut x = ops.embedding(token, &self.embedding);
        let (mut pushed, mut skipped) = (Vec::new(), Vec::new());
        for (layer, known) in self.layers.iter().zip(known.chunks(2)) {
            let filter = ops.multiply_add(&x, &layer.filter, &known[0]);
            let filter = ops.tanh(&filter);
            let gate = ops.multiply_add(&x, &layer.gate, &known[1]);
            let gate = ops.sigmoid(&gate);
            let z = ops.mul(&filter, &gate);
            if let Some(residual) = &layer.residual {
                let next = ops.multiply_add(&z, residual, &x);
                pushed.push(std::mem::replace(&mut x, next));
            }
            skipped.push(z);
        }
        pushed.push(x);
        let pushed = ops.concat(&pushed.iter().collect::<Vec<_>>(), 1);
        let pushed = ops.reshape_rows(&pushed, &[count, width]);
        let skipped = ops.concat(&skipped.iter().collect::<Vec<_>>(), 1);
        (self.finish(ops, &skipped), pushed)
    }

    /// What the condition adds to all filters and gates: `[batch, layers 2 width]`.
    fn look<O: Ops>(&self, ops: &mut O, condition: &O::Tensor) -> O::Tensor {
        let [first, second, third] = &self.context;
        let x = ops.linear(condition, first);
        let x = ops.relu(&x);
        let x = ops.linear(&x, second);
        let x = ops.relu(&x);
        ops.linear(&x, third)
    }

    /// Logits of what the layers skipped, `[batch, layers width]`.
    fn finish<O: Ops>(&self, ops: &mut O, skipped: &O::Tensor) -> O::Tensor {
        let [first, second, third] = &self.head;
        let x = ops.linear(skipped, first);
        let x = ops.relu(&x);
        let x = ops.linear(&x, second);
        let x = ops.relu(&x);
        ops.linear(&x, third)
    }

    /// Whole recordings from their start: `tokens` i64 `[time, batch]`, where `time` is a multiple of
    /// [`FRAME`], and `condition` `[time / FRAME, batch, condition]`, the rows of the frames. Gives logits
    /// `[time, batch, levels]` in f32: those at `t` are of the sample after `tokens[t]`.
    pub fn sequence(&self, tokens: &Tensor, condition: &Tensor, precision: Precision) -> Tensor {
        let (width, count) = (self.config.width as i64, self.layers.len() as i64);
        let (time, batch) = (tokens.size()[0], tokens.size()[1]);
        let (frame, frames, rows) = (FRAME as i64, condition.size()[0], time * batch);
        assert_eq!(time, frames * frame, "tokens {:?}, condition {:?}", tokens.size(), condition.size());
        let kind = match precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        };
        let ops = &mut crate::ops::eager::Eager::with(precision);
        let condition = condition.reshape([frames * batch, self.condition as i64]);
        let context = self.look(ops, &condition).reshape([frames, 1, batch, count, 2 * width]);
        let tap_weights = self.taps.weight.to_kind(kind);

        // Time first: a tap some samples back is the same rows, some rows earlier, whatever the batch.
        let mut x = Tensor::embedding(&self.embedding.weight, &tokens.reshape([rows]), -1, false, false)
            .to_kind(kind);
        let mut skipped = Vec::with_capacity(self.layers.len());
        for (i, (layer, delay)) in self.layers.iter().zip(self.config.delays()).enumerate() {
            let back = delay as i64 * batch;
            let past = x.constant_pad_nd([0, 0, 2 * back, 0]);
            let now = Tensor::cat(&[&layer.filter.weight, &layer.gate.weight], 0).to_kind(kind).tr();
            let taps = tap_weights.get(i as i64).split(width, 0);
            let y = x
                .matmul(&now)
                .addmm(&past.narrow(0, back, rows), &taps[0])
                .addmm(&past.narrow(0, 0, rows), &taps[1]);
            let y = y.reshape([frames, frame, batch, 2 * width]) + context.select(3, i as i64);
            let halves = y.reshape([rows, 2 * width]).split(width, 1);
            let z = halves[0].tanh() * halves[1].sigmoid();
            if let Some(residual) = &layer.residual {
                x = x.addmm(&z, &residual.weight.to_kind(kind).tr());
            }
            skipped.push(z);
        }
        let logits = self.finish(ops, &Tensor::cat(&skipped, 1));
        logits.to_kind(Kind::Float).reshape([time, batch, self.config.levels as i64])
    }
}

impl Graphs for Wavenet {
    /// One `step`: a sample in, logits of the next one out.
    fn plans(&self) -> Vec<GraphPlan> {
        let batch = || Dim::from(Dim::BATCH);
        let (layers, width) = (Dim::Fixed(self.layers.len()), Dim::Fixed(self.config.width));
        let last = (self.config.levels - 1) as f64;
        let condition = [batch(), Dim::Fixed(self.condition)];
        vec![GraphPlan {
            name: "step",
            inputs: vec![
                TensorSpec::new("token", Dtype::I64, [batch()]).with_range(0.0, last),
                TensorSpec::new("taps", Dtype::F32, [batch(), layers, Dim::Fixed(TAPS), width]),
                TensorSpec::new("condition", Dtype::F32, condition),
            ],
            outputs: vec![("logits", None), ("pushed", None)],
            state: vec![],
        }]
    }

    fn delays(&self, _graph: &str) -> Vec<DelayLines> {
        let delays = self.config.delays();
        vec![DelayLines { input: "taps".into(), output: "pushed".into(), delays }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let (logits, pushed) = self.step(ops, &inputs[0], &inputs[1], &inputs[2]);
        vec![logits, pushed]
    }
}
