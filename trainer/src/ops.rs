//! The tensor operations that our networks are written in.
//!
//! A network's `forward` is generic over [`Ops`], so that one source serves two purposes:
//! [`Eager`](crate::ops::eager::Eager) runs it on libtorch (with gradients), and
//! [`Export`](crate::ops::export::Export) records it as an ONNX graph. Layers only hold parameters;
//! `Ops` gives them meaning.
//!
//! Images are `[batch, channels, height, width]`, everything else is `[batch, features]` unless a method
//! says otherwise. The leading axis is the batch and is never fixed.

pub mod eager;
pub mod export;

use crate::layers::{ClassNorm, Conv2d, ConvTranspose2d, Embedding, Linear, Lstm, Matrices, Matrix};

/// The tensor operations our networks are written in.
///
/// An implementation panics on shapes that do not fit: that is a mistake in a network's source, never in
/// somebody's input.
pub trait Ops {
    /// A tensor to this implementation: a value in memory, or a name in a graph.
    type Tensor;

    /// Two-dimensional convolution, with the layer's stride, zero padding and bias.
    fn conv2d(&mut self, x: &Self::Tensor, layer: &Conv2d) -> Self::Tensor;
    /// Two-dimensional transposed convolution, with the layer's stride and padding.
    fn conv_transpose2d(&mut self, x: &Self::Tensor, layer: &ConvTranspose2d) -> Self::Tensor;
    /// Batch normalisation of `[batch, channels, h, w]`, with the gain and the shift of each row's class, ids
    /// `i64 [batch]`.
    fn class_norm(&mut self, x: &Self::Tensor, class: &Self::Tensor, layer: &ClassNorm) -> Self::Tensor;
    /// `x W^T + b` for `x` of `[batch, inputs]` or `[batch, time, inputs]`.
    fn linear(&mut self, x: &Self::Tensor, layer: &Linear) -> Self::Tensor;
    /// `x W^T + onto` for `x` of `[batch, inputs]` and `onto` of `[batch, outputs]`.
    fn multiply_add(&mut self, x: &Self::Tensor, matrix: &Matrix, onto: &Self::Tensor) -> Self::Tensor;
    /// Each of `x`'s rows through its own matrix: `[batch, count, inputs]` to `[batch, count, outputs]`.
    fn multiply_each(&mut self, x: &Self::Tensor, matrices: &Matrices) -> Self::Tensor;
    /// Rows of the table: ids `i64 [batch]` to `[batch, width]`.
    fn embedding(&mut self, ids: &Self::Tensor, layer: &Embedding) -> Self::Tensor;

    /// The four gates of an LSTM cell before their nonlinearities, `[batch, 4 hidden]` in the order input,
    /// forget, cell, output, from the input and the last hidden state `h` `[batch, hidden]`.
    fn lstm_gates(&mut self, x: &Self::Tensor, h: &Self::Tensor, layer: &Lstm) -> Self::Tensor;

    /// An LSTM layer over a whole sequence `[batch, time, inputs]`, from a state of zeros: its outputs
    /// `[batch, time, hidden]`. With `backwards` it goes from the last time to the first; the outputs stay in
    /// the order of time.
    fn lstm(&mut self, x: &Self::Tensor, layer: &Lstm, backwards: bool) -> Self::Tensor;

    /// `max(x, 0)`.
    fn relu(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// `1 / (1 + exp(-x))`.
    fn sigmoid(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// `e` to the power of each element.
    fn exp(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// Hyperbolic tangent.
    fn tanh(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// Sine of angles in radians.
    fn sin(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// Numbers along the last axis that are positive, sum to 1, and are in the ratio of their exponentials.
    fn softmax(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// Elementwise sum; axes of size 1 are broadcast.
    fn add(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// Elementwise difference `a - b`; axes of size 1 are broadcast.
    fn sub(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// Elementwise product; axes of size 1 are broadcast.
    fn mul(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// Limits every element to `[low, high]`.
    fn clamp(&mut self, x: &Self::Tensor, low: f32, high: f32) -> Self::Tensor;
    /// `x * factor + offset`, the same numbers for every element.
    fn affine(&mut self, x: &Self::Tensor, factor: f32, offset: f32) -> Self::Tensor;

    /// Means over squares of `size` x `size` pixels, `stride` pixels from one to the next, without padding.
    fn average_pool(&mut self, x: &Self::Tensor, size: usize, stride: usize) -> Self::Tensor;
    /// Joins along `axis`.
    fn concat(&mut self, parts: &[&Self::Tensor], axis: usize) -> Self::Tensor;
    /// Cuts `axis` into consecutive pieces of the given sizes.
    fn split(&mut self, x: &Self::Tensor, sizes: &[usize], axis: usize) -> Vec<Self::Tensor>;
    /// Gives every batch row the shape `row` (the batch axis stays in front).
    fn reshape_rows(&mut self, x: &Self::Tensor, row: &[usize]) -> Self::Tensor;
    /// Takes entry `index` out of `axis`, which disappears.
    fn select(&mut self, x: &Self::Tensor, axis: usize, index: usize) -> Self::Tensor;
    /// Puts tensors of one shape side by side along a new leading axis.
    fn stack(&mut self, parts: &[Self::Tensor]) -> Self::Tensor;
    /// The same number for every row of `like`: `[batch]`.
    fn fill_rows(&mut self, like: &Self::Tensor, value: f32) -> Self::Tensor;
    /// The same features at each of `times` moments: `[batch, features]` to `[batch, times, features]`.
    fn repeat(&mut self, x: &Self::Tensor, times: usize) -> Self::Tensor;
    /// The mean over all pixels of each channel: `[batch, channels, height, width]` to `[batch, channels]`.
    fn mean_pixels(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// Each channel of each image less its mean, divided by its standard deviation (Ulyanov, Vedaldi and
    /// Lempitsky 2016); 1e-5 is added to the variance.
    fn instance_norm(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// Turns images left to right.
    fn mirror(&mut self, x: &Self::Tensor) -> Self::Tensor;
    /// One number a row, `[batch]`, spread over a plane `[batch, 1, height, width]`.
    fn plane(&mut self, x: &Self::Tensor, height: usize, width: usize) -> Self::Tensor;
    /// `[b, c, h r, w r]` to `[b, c r r, h, w]`: every `r` x `r` patch becomes channels
    /// (PyTorch's `pixel_unshuffle`: channel `c r r + dy r + dx`).
    fn pixel_unshuffle(&mut self, x: &Self::Tensor, r: usize) -> Self::Tensor;
    /// The inverse of [`Ops::pixel_unshuffle`].
    fn pixel_shuffle(&mut self, x: &Self::Tensor, r: usize) -> Self::Tensor;
}
