//! Layers: named parameters and their initial values. [`Ops`](crate::ops::Ops) gives them meaning.
//!
//! libtorch's Rust defaults are traps (uniform batch-norm gamma, zero forget bias), so every initial value
//! is chosen here and drawn from the run's own seeded generator.

use tch::Tensor;

use crate::store::{Init, Store};

/// A two-dimensional convolution with bias.
#[derive(Debug)]
pub struct Conv2d {
    /// Where the parameters live in the store: `NAME.weight`, `NAME.bias`.
    pub name: String,
    /// `[outputs, inputs, size, size]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
    /// Pixels from one output to the next, in both directions.
    pub stride: usize,
    /// Zero pixels added on every side.
    pub padding: usize,
}

impl Conv2d {
    /// A square kernel, padded to keep the size at stride 1, He-initialised with the given gain (1 for a
    /// layer followed by a rectifier, less to start a residual branch near zero).
    pub fn new(
        store: &mut Store,
        name: &str,
        inputs: usize,
        outputs: usize,
        size: usize,
        stride: usize,
        gain: f64,
    ) -> Self {
        let deviation = gain * (2.0 / (inputs * size * size) as f64).sqrt();
        Self {
            weight: store.parameter(
                &format!("{name}.weight"),
                &[outputs, inputs, size, size],
                Init::Normal(deviation),
            ),
            bias: store.parameter(&format!("{name}.bias"), &[outputs], Init::Constant(0.0)),
            name: name.to_owned(),
            stride,
            padding: size / 2,
        }
    }
}

/// A transposed convolution: every input pixel paints a square. It has no bias, because a normalisation with a
/// shift of its own follows it.
#[derive(Debug)]
pub struct ConvTranspose2d {
    /// Where the parameter lives in the store: `NAME.weight`.
    pub name: String,
    /// `[inputs, outputs, size, size]`.
    pub weight: Tensor,
    /// Output pixels from one input to the next, in both directions.
    pub stride: usize,
    /// Pixels taken off every side of the output.
    pub padding: usize,
}

impl ConvTranspose2d {
    /// A square kernel, cut to make an image `stride` times as large (`size - stride` must be even),
    /// He-initialised for a rectifier: `size / stride` squared inputs meet at an output.
    pub fn new(
        store: &mut Store,
        name: &str,
        inputs: usize,
        outputs: usize,
        size: usize,
        stride: usize,
    ) -> Self {
        let meeting = (inputs * size * size) as f64 / (stride * stride) as f64;
        Self {
            weight: store.parameter(
                &format!("{name}.weight"),
                &[inputs, outputs, size, size],
                Init::Normal((2.0 / meeting).sqrt()),
            ),
            name: name.to_owned(),
            stride,
            padding: (size - stride) / 2,
        }
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015) with a gain and a shift of its own for every class.
///
/// While it is trained it normalises by the batch's own mean and variance. The mean and the variance kept
/// here are those by which it normalises elsewhere; they are measured, not followed, once the weights stand:
/// see [`Statistics`](crate::ops::eager::Statistics).
#[derive(Debug)]
pub struct ClassNorm {
    /// Where its values live in the store: `NAME.gain`, `NAME.shift`, and the buffers `NAME.mean`,
    /// `NAME.variance`.
    pub name: String,
    /// `[classes, channels]`, from 1.
    pub gain: Tensor,
    /// `[classes, channels]`, from 0.
    pub shift: Tensor,
    /// `[channels]`.
    pub mean: Tensor,
    /// `[channels]`.
    pub variance: Tensor,
}

impl ClassNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;

    /// For maps of `channels` channels.
    pub fn new(store: &mut Store, name: &str, classes: usize, channels: usize) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        Self {
            gain: store.parameter(&part("gain"), &[classes, channels], Init::Constant(1.0)),
            shift: store.parameter(&part("shift"), &[classes, channels], Init::Constant(0.0)),
            mean: store.buffer(&part("mean"), &[channels], Init::Constant(0.0)),
            variance: store.buffer(&part("variance"), &[channels], Init::Constant(1.0)),
            name: name.to_owned(),
        }
    }
}

/// A fully connected layer with bias.
#[derive(Debug)]
pub struct Linear {
    /// Where the parameters live in the store: `NAME.weight`, `NAME.bias`.
    pub name: String,
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl Linear {
    /// Initialised as Glorot and Bengio (2010): normal with variance `2 / (inputs + outputs)`.
    pub fn new(store: &mut Store, name: &str, inputs: usize, outputs: usize) -> Self {
        let deviation = (2.0 / (inputs + outputs) as f64).sqrt();
        Self {
            weight: store.parameter(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation)),
            bias: store.parameter(&format!("{name}.bias"), &[outputs], Init::Constant(0.0)),
            name: name.to_owned(),
        }
    }

    /// All zeros: whatever is made of what it gives starts out the same for every input.
    pub fn zero(store: &mut Store, name: &str, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: store.parameter(&format!("{name}.weight"), &[outputs, inputs], Init::Constant(0.0)),
            bias: store.parameter(&format!("{name}.bias"), &[outputs], Init::Constant(0.0)),
            name: name.to_owned(),
        }
    }
}

/// A matrix without bias, for a product that is added to something else.
#[derive(Debug)]
pub struct Matrix {
    /// Where it lives in the store: `NAME.weight`.
    pub name: String,
    /// `[outputs, inputs]`.
    pub weight: Tensor,
}

impl Matrix {
    /// Normal with the given standard deviation.
    pub fn new(store: &mut Store, name: &str, inputs: usize, outputs: usize, deviation: f64) -> Self {
        let weight = store.parameter(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation));
        Self { name: name.to_owned(), weight }
    }
}

/// Several matrices of one shape, each for its own input.
#[derive(Debug)]
pub struct Matrices {
    /// Where they live in the store: `NAME.weight`.
    pub name: String,
    /// `[count, inputs, outputs]`.
    pub weight: Tensor,
}

impl Matrices {
    /// `count` of them, normal with the given standard deviation.
    pub fn new(
        store: &mut Store,
        name: &str,
        count: usize,
        inputs: usize,
        outputs: usize,
        deviation: f64,
    ) -> Self {
        let shape = [count, inputs, outputs];
        let weight = store.parameter(&format!("{name}.weight"), &shape, Init::Normal(deviation));
        Self { name: name.to_owned(), weight }
    }
}

/// A table with one row for each id.
#[derive(Debug)]
pub struct Embedding {
    /// Where the table lives in the store: `NAME.weight`.
    pub name: String,
    /// `[ids, width]`.
    pub weight: Tensor,
}

impl Embedding {
    /// Rows start normal with variance `1 / width`.
    pub fn new(store: &mut Store, name: &str, ids: usize, width: usize) -> Self {
        let deviation = (1.0 / width as f64).sqrt();
        Self {
            weight: store.parameter(&format!("{name}.weight"), &[ids, width], Init::Normal(deviation)),
            name: name.to_owned(),
        }
    }
}

/// One LSTM layer (Hochreiter and Schmidhuber 1997, with forget gates), gates in libtorch's order
/// input, forget, cell, output. One bias: the sum of the two that libtorch keeps.
#[derive(Debug)]
pub struct Lstm {
    /// Where the parameters live in the store: `NAME.input`, `NAME.hidden`, `NAME.bias`.
    pub name: String,
    /// `[4 hidden, inputs]`.
    pub input: Tensor,
    /// `[4 hidden, hidden]`.
    pub hidden: Tensor,
    /// `[4 hidden]`, the forget gate's quarter starts at 1 (Jozefowicz et al. 2015).
    pub bias: Tensor,
}

impl Lstm {
    /// Input weights Glorot, hidden weights orthogonal gate by gate.
    pub fn new(store: &mut Store, name: &str, inputs: usize, hidden: usize) -> Self {
        let deviation = (2.0 / (inputs + hidden) as f64).sqrt();
        Self {
            input: store.parameter(&format!("{name}.input"), &[4 * hidden, inputs], Init::Normal(deviation)),
            hidden: store.parameter(&format!("{name}.hidden"), &[4 * hidden, hidden], Init::OrthogonalBlocks),
            bias: store.parameter(&format!("{name}.bias"), &[4 * hidden], Init::ForgetBias),
            name: name.to_owned(),
        }
    }

    /// Units in the layer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.hidden.size()[1] as usize
    }
}
