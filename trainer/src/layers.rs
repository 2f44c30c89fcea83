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
