//! Runs networks on libtorch.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Ops;
use crate::layers::{ClassNorm, Conv2d, ConvTranspose2d, Embedding, Linear, Lstm, Matrices, Matrix};

/// What convolutions and fully connected layers calculate in. Parameters, losses, the optimiser and
/// everything that is exported are f32 whatever is chosen here.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Brain floating point: 8 bits of mantissa, summed in f32. About twice as fast where the processor has
    /// instructions for it.
    Bf16,
}

/// Which mean and variance a batch normalisation uses.
///
/// Weights that are averages of many steps' have other statistics than the weights of any of them, so
/// following the statistics in training would give the wrong ones for what is exported. They are measured
/// when the weights stand: [`Recipe::settle`](crate::recipe::Recipe::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The ones that are kept, as an exported graph does.
    Kept,
    /// The batch's own, as in training.
    Batch,
    /// The batch's own, which are kept from now on.
    Measure,
}

/// Runs networks on libtorch, as they are called. Gradients flow wherever libtorch records them.
///
/// In [`Precision::Bf16`] what a convolution or a fully connected layer gives is bf16, and so is what is made
/// from that alone: a loss has to go back to f32 first.
pub struct Eager {
    precision: Precision,
    statistics: Statistics,
}

impl Eager {
    /// In f32: for evaluation and for parity with what is exported.
    #[must_use]
    pub fn exact() -> Self {
        Self { precision: Precision::F32, statistics: Statistics::Kept }
    }

    /// In the given precision: for training.
    #[must_use]
    pub fn with(precision: Precision) -> Self {
        Self { precision, statistics: Statistics::Batch }
    }

    /// In f32, and the statistics of what is run are those that batch normalisations keep from then on.
    #[must_use]
    pub fn measuring() -> Self {
        Self { precision: Precision::F32, statistics: Statistics::Measure }
    }

    /// A tensor as the big products take it.
    fn operand(&self, x: &Tensor) -> Tensor {
        match self.precision {
            Precision::F32 => x.shallow_clone(),
            Precision::Bf16 => x.to_kind(Kind::BFloat16),
        }
    }
}

/// Added to variances by `instance_norm`.
pub(super) const INSTANCE_EPSILON: f64 = 1e-5;

/// Channels-last memory: twice the speed of libtorch's convolutions on a CPU.
fn channels_last(x: &Tensor) -> Tensor {
    let size = x.size();
    if x.device() != Device::Cpu || size.len() != 4 || x.stride()[1] == 1 {
        return x.shallow_clone();
    }
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

fn long(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&n| n as i64).collect()
}

impl Ops for Eager {
    type Tensor = Tensor;

    fn conv2d(&mut self, x: &Tensor, layer: &Conv2d) -> Tensor {
        let (s, p) = (layer.stride as i64, layer.padding as i64);
        let (x, weight) = (channels_last(&self.operand(x)), channels_last(&self.operand(&layer.weight)));
        x.conv2d(&weight, Some(self.operand(&layer.bias)), [s, s], [p, p], [1, 1], 1)
    }

    fn conv_transpose2d(&mut self, x: &Tensor, layer: &ConvTranspose2d) -> Tensor {
        let (s, p) = (layer.stride as i64, layer.padding as i64);
        let (x, weight) = (channels_last(&self.operand(x)), channels_last(&self.operand(&layer.weight)));
        x.conv_transpose2d(&weight, None::<Tensor>, [s, s], [p, p], [0, 0], 1, [1, 1])
    }

    fn class_norm(&mut self, x: &Tensor, class: &Tensor, layer: &ClassNorm) -> Tensor {
        if self.statistics == Statistics::Measure {
            let x = x.to_kind(Kind::Float);
            let over = [0i64, 2, 3];
            layer.mean.shallow_clone().copy_(&x.mean_dim(over.as_slice(), false, Kind::Float));
            layer.variance.shallow_clone().copy_(&x.var_dim(over.as_slice(), false, false));
        }
        let batch = self.statistics == Statistics::Batch;
        let kept = (!batch).then_some([&layer.mean, &layer.variance]);
        let (mean, variance) = (kept.map(|k| k[0]), kept.map(|k| k[1]));
        let none = None::<&Tensor>;
        let x = x.batch_norm(none, none, mean, variance, batch, 0.0, ClassNorm::EPSILON, false);
        let [gain, shift] = [&layer.gain, &layer.shift].map(|table| {
            let rows = table.index_select(0, class).to_kind(x.kind());
            rows.unsqueeze(-1).unsqueeze(-1)
        });
        shift.addcmul(&x, &gain)
    }

    fn linear(&mut self, x: &Tensor, layer: &Linear) -> Tensor {
        self.operand(x).linear(&self.operand(&layer.weight), Some(self.operand(&layer.bias)))
    }

    fn multiply_add(&mut self, x: &Tensor, matrix: &Matrix, onto: &Tensor) -> Tensor {
        self.operand(onto).addmm(&self.operand(x), &self.operand(&matrix.weight).tr())
    }

    fn multiply_each(&mut self, x: &Tensor, matrices: &Matrices) -> Tensor {
        let products = self.operand(x).transpose(0, 1).matmul(&self.operand(&matrices.weight));
        products.transpose(0, 1)
    }

    fn embedding(&mut self, ids: &Tensor, layer: &Embedding) -> Tensor {
        Tensor::embedding(&layer.weight, ids, -1, false, false)
    }

    fn lstm_gates(&mut self, x: &Tensor, h: &Tensor, layer: &Lstm) -> Tensor {
        x.linear(&layer.input, Some(&layer.bias)) + h.linear(&layer.hidden, None::<&Tensor>)
    }

    fn lstm(&mut self, x: &Tensor, layer: &Lstm, backwards: bool) -> Tensor {
        let turned = |x: &Tensor| if backwards { x.flip([1]) } else { x.shallow_clone() };
        // libtorch's LSTM has two biases; ours is their sum.
        let no_bias = layer.bias.zeros_like().detach();
        let zeros = Tensor::zeros([1, x.size()[0], layer.width() as i64], (x.kind(), x.device()));
        let weights = [&layer.input, &layer.hidden, &layer.bias, &no_bias];
        let (y, ..) = turned(x).lstm(&[&zeros, &zeros], &weights, true, 1, 0.0, false, false, true);
        turned(&y)
    }

    fn relu(&mut self, x: &Tensor) -> Tensor {
        x.relu()
    }

    fn sigmoid(&mut self, x: &Tensor) -> Tensor {
        x.sigmoid()
    }

    fn exp(&mut self, x: &Tensor) -> Tensor {
        x.exp()
    }

    fn tanh(&mut self, x: &Tensor) -> Tensor {
        x.tanh()
    }

    fn sin(&mut self, x: &Tensor) -> Tensor {
        x.sin()
    }

    fn softmax(&mut self, x: &Tensor) -> Tensor {
        x.softmax(-1, x.kind())
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        a + b
    }

    fn sub(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        a - b
    }

    fn mul(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        a * b
    }

    fn clamp(&mut self, x: &Tensor, low: f32, high: f32) -> Tensor {
        x.clamp(f64::from(low), f64::from(high))
    }

    fn affine(&mut self, x: &Tensor, factor: f32, offset: f32) -> Tensor {
        x * f64::from(factor) + f64::from(offset)
    }

    fn average_pool(&mut self, x: &Tensor, size: usize, stride: usize) -> Tensor {
        let (k, s) = (size as i64, stride as i64);
        x.avg_pool2d([k, k], [s, s], [0, 0], false, true, None::<i64>)
    }

    fn concat(&mut self, parts: &[&Tensor], axis: usize) -> Tensor {
        Tensor::cat(parts, axis as i64)
    }

    fn split(&mut self, x: &Tensor, sizes: &[usize], axis: usize) -> Vec<Tensor> {
        x.split_with_sizes(long(sizes), axis as i64)
    }

    fn reshape_rows(&mut self, x: &Tensor, row: &[usize]) -> Tensor {
        let mut shape = vec![x.size()[0]];
        shape.extend(long(row));
        x.reshape(shape)
    }

    fn select(&mut self, x: &Tensor, axis: usize, index: usize) -> Tensor {
        x.select(axis as i64, index as i64)
    }

    fn stack(&mut self, parts: &[Tensor]) -> Tensor {
        Tensor::stack(parts, 0)
    }

    fn fill_rows(&mut self, like: &Tensor, value: f32) -> Tensor {
        Tensor::full([like.size()[0]], f64::from(value), (Kind::Float, like.device()))
    }

    fn repeat(&mut self, x: &Tensor, times: usize) -> Tensor {
        x.unsqueeze(1).expand([-1, times as i64, -1], false)
    }

    fn mean_pixels(&mut self, x: &Tensor) -> Tensor {
        x.mean_dim([2i64, 3].as_slice(), false, x.kind())
    }

    fn instance_norm(&mut self, x: &Tensor) -> Tensor {
        let plane = [2i64, 3];
        let exact = x.to_kind(Kind::Float);
        let centred = &exact - exact.mean_dim(plane.as_slice(), true, Kind::Float);
        let variance = centred.square().mean_dim(plane.as_slice(), true, Kind::Float);
        (centred * (variance + INSTANCE_EPSILON).rsqrt()).to_kind(x.kind())
    }

    fn mirror(&mut self, x: &Tensor) -> Tensor {
        x.flip([3])
    }

    fn plane(&mut self, x: &Tensor, height: usize, width: usize) -> Tensor {
        x.reshape([-1, 1, 1, 1]).expand([-1, 1, height as i64, width as i64], false)
    }

    fn pixel_unshuffle(&mut self, x: &Tensor, r: usize) -> Tensor {
        x.pixel_unshuffle(r as i64)
    }

    fn pixel_shuffle(&mut self, x: &Tensor, r: usize) -> Tensor {
        x.pixel_shuffle(r as i64)
    }
}

/// Copies a tensor's elements to ordinary memory as `f32`, row by row.
#[must_use]
pub fn to_vec(x: &Tensor) -> Vec<f32> {
    let x = x.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut out = vec![0f32; x.numel()];
    x.copy_data(&mut out, x.numel());
    out
}
