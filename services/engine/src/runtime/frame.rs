//! The inputs and outputs of a graph's runs at one batch size, in memory that is kept from run to run.

use std::ops::Range;
use std::sync::Arc;

use atelier_package::{Dim, Dtype, GraphSpec, Tensor, TensorSpec};
use ort::session::{IoBinding, RunOptions};

use super::binding::{bind_input, bind_output, hand_over};
use super::numbers::{Cells, Memory, Number, Numbers};
use super::{Device, gpu};
use crate::EngineError;

/// What a run of so many rows takes and gives. Every dimension of the graph but `batch` is fixed.
pub(crate) struct Frame {
    rows: usize,
    pub(super) inputs: Vec<Numbers>,
    pub(super) outputs: Vec<Numbers>,
    /// Where its runs are.
    pub(super) device: Device,
    /// How the session that made this frame finds its memory.
    pub(super) binding: Option<IoBinding>,
    /// The options of this frame's runs, which are replayed as a CUDA graph.
    pub(super) replayed: Option<Arc<RunOptions>>,
    /// What the last run left is here only in part, or neither where it was nor where it was to be.
    pub(super) torn: bool,
}

impl Frame {
    /// Of memory that `make` gets for each input and output, by its element type and shape.
    pub(super) fn of(
        spec: &GraphSpec,
        rows: usize,
        mut make: impl FnMut(Dtype, &[usize], Side) -> Result<Memory, EngineError>,
    ) -> Result<Self, EngineError> {
        let mut side = |specs: &[TensorSpec], side| {
            let numbers = |tensor: &TensorSpec| {
                let shape = shape(tensor, rows).ok_or_else(|| {
                    let text = tensor.shape_text();
                    EngineError::Runtime(format!("`{}` has open dimensions: {text}", tensor.name))
                })?;
                Ok(Numbers { memory: make(tensor.dtype, &shape, side)?, shape })
            };
            specs.iter().map(numbers).collect::<Result<Vec<_>, EngineError>>()
        };
        let (inputs, outputs) = (side(&spec.inputs, Side::Input)?, side(&spec.outputs, Side::Output)?);
        Ok(Self { rows, inputs, outputs, device: Device::Cpu, binding: None, replayed: None, torn: false })
    }

    /// Of ordinary memory.
    pub(crate) fn plain(spec: &GraphSpec, rows: usize) -> Result<Self, EngineError> {
        Self::of(spec, rows, |dtype, shape, _| {
            let len = shape.iter().product();
            Ok(match dtype {
                Dtype::F32 => Memory::F32(Cells::Ours(vec![0.0; len])),
                Dtype::I64 => Memory::I64(Cells::Ours(vec![0; len])),
            })
        })
    }

    /// The rows of a run.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The elements of an input.
    pub(crate) fn input<T: Number>(&mut self, input: usize) -> Result<&mut [T], EngineError> {
        self.inputs.get_mut(input).and_then(|n| T::at_mut(&mut n.memory)).ok_or_else(broken)
    }

    /// The elements of an output, as the last run left them.
    pub(crate) fn output<T: Number>(&self, output: usize) -> Result<&[T], EngineError> {
        self.outputs.get(output).and_then(|n| T::at(&n.memory)).ok_or_else(broken)
    }

    /// Copies rows of a request's tensor into an input, from row `at` on.
    pub(crate) fn put(
        &mut self,
        input: usize,
        at: usize,
        tensor: &Tensor,
        rows: Range<usize>,
    ) -> Result<(), EngineError> {
        let numbers = self.inputs.get_mut(input).filter(|n| tensor.shape().get(1..) == n.shape.get(1..));
        let put = numbers.and_then(|numbers| match numbers.dtype() {
            Dtype::F32 => numbers.put::<f32>(at, tensor, rows),
            Dtype::I64 => numbers.put::<i64>(at, tensor, rows),
        });
        put.ok_or_else(|| EngineError::Runtime("rows of different kinds in one batch".into()))
    }

    /// Repeats the last of the `used` rows of every input up to its end: a repeated row is sure to be of the kind that
    /// the graph takes; zeros are not.
    pub(crate) fn pad(&mut self, used: usize) -> Result<(), EngineError> {
        for numbers in &mut self.inputs {
            let padded = match numbers.dtype() {
                Dtype::F32 => numbers.pad::<f32>(used),
                Dtype::I64 => numbers.pad::<i64>(used),
            };
            padded.ok_or_else(|| EngineError::Runtime("a batch without rows".into()))?;
        }
        Ok(())
    }

    /// These rows of all outputs.
    pub(crate) fn take(&self, rows: Range<usize>) -> Result<Vec<Tensor>, EngineError> {
        let take = |numbers: &Numbers| match numbers.dtype() {
            Dtype::F32 => numbers.take::<f32>(rows.clone()),
            Dtype::I64 => numbers.take::<i64>(rows.clone()),
        };
        self.outputs.iter().map(|n| take(n).ok_or_else(broken)).collect()
    }

    /// Has the next run go on where the last one ended, without a copy: what it left in the output of each pair (of an
    /// input and an output) is the input now, and what was the input is to be written over. After an error it is lost.
    pub(crate) fn carry(
        &mut self,
        spec: &GraphSpec,
        pairs: impl Iterator<Item = (usize, usize)>,
    ) -> Result<(), EngineError> {
        if std::mem::take(&mut self.torn) {
            return Err(EngineError::Runtime(format!("{}: what a run left is lost", spec.file)));
        }
        let carried = self.carry_each(spec, pairs);
        self.torn = carried.is_err();
        carried
    }

    fn carry_each(
        &mut self,
        spec: &GraphSpec,
        pairs: impl Iterator<Item = (usize, usize)>,
    ) -> Result<(), EngineError> {
        // What is bound is copied to the device.
        let _beside = gpu::beside(self.device);
        for (input, output) in pairs {
            let (Some(to), Some(from)) = (self.inputs.get_mut(input), self.outputs.get_mut(output)) else {
                return Err(broken());
            };
            if to.shape != from.shape {
                return Err(broken());
            }
            let failed = |e: ort::Error| EngineError::Runtime(format!("{}: {e}", spec.file));
            if hand_over(to, from).map_err(failed)? {
                continue;
            }
            if let Some(binding) = &mut self.binding {
                let (to_spec, from_spec) =
                    spec.inputs.get(input).zip(spec.outputs.get(output)).ok_or_else(broken)?;
                bind_input(binding, &to_spec.name, to)
                    .and_then(|()| bind_output(binding, &from_spec.name, from))
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The inputs as tensors of their own, for a runner that knows of no frames.
    pub(crate) fn inputs(&self) -> Result<Vec<Tensor>, EngineError> {
        wholes(&self.inputs)
    }

    /// The outputs as tensors of their own, as the last run left them.
    pub(super) fn outputs(&self) -> Result<Vec<Tensor>, EngineError> {
        wholes(&self.outputs)
    }

    /// Takes in all inputs of a run.
    pub(super) fn set_inputs(&mut self, inputs: &[Tensor]) -> Result<(), EngineError> {
        set(&mut self.inputs, inputs)
    }

    /// Takes in what a runner gave that knows of no frames.
    pub(crate) fn set_outputs(&mut self, outputs: &[Tensor]) -> Result<(), EngineError> {
        set(&mut self.outputs, outputs)
    }
}

fn wholes(side: &[Numbers]) -> Result<Vec<Tensor>, EngineError> {
    let whole = |numbers: &Numbers| match numbers.dtype() {
        Dtype::F32 => numbers.whole::<f32>(),
        Dtype::I64 => numbers.whole::<i64>(),
    };
    side.iter().map(|numbers| whole(numbers).ok_or_else(broken)).collect()
}

fn set(side: &mut [Numbers], tensors: &[Tensor]) -> Result<(), EngineError> {
    if tensors.len() != side.len() {
        return Err(broken());
    }
    for (numbers, tensor) in side.iter_mut().zip(tensors) {
        let set = match numbers.dtype() {
            Dtype::F32 => numbers.set::<f32>(tensor),
            Dtype::I64 => numbers.set::<i64>(tensor),
        };
        set.ok_or_else(broken)?;
    }
    Ok(())
}

/// Which side of a graph a tensor is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// The shape of a tensor of so many rows; none where more than the batch is open.
fn shape(spec: &TensorSpec, rows: usize) -> Option<Vec<usize>> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => Some(*size),
        dim => dim.is_batch().then_some(rows),
    };
    spec.shape.iter().map(size).collect()
}

pub(super) fn broken() -> EngineError {
    EngineError::Runtime("a tensor of a run has another shape than its graph".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> GraphSpec {
        let tensor = |name: &str, dtype, dims: &[usize]| {
            let dims = dims.iter().map(|d| (*d).into());
            TensorSpec::new(name, dtype, std::iter::once("batch".into()).chain(dims))
        };
        GraphSpec {
            name: "g".into(),
            inputs: vec![tensor("x", Dtype::F32, &[2]), tensor("token", Dtype::I64, &[])],
            outputs: vec![tensor("y", Dtype::F32, &[2])],
            ..GraphSpec::default()
        }
    }

    #[test]
    fn rows_of_requests_lie_one_after_the_other_and_padding_repeats_the_last() {
        let a = Tensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let b = Tensor::f32([1, 2], vec![5.0, 6.0]).unwrap();
        let tokens = Tensor::i64([2], vec![7, 8]).unwrap();
        let mut frame = Frame::plain(&spec(), 4).unwrap();
        frame.put(0, 0, &a, 1..2).unwrap();
        frame.put(0, 1, &b, 0..1).unwrap();
        frame.put(1, 0, &tokens, 0..2).unwrap();
        frame.pad(2).unwrap();
        let inputs = frame.inputs().unwrap();
        assert_eq!(inputs[0], Tensor::f32([4, 2], vec![3.0, 4.0, 5.0, 6.0, 5.0, 6.0, 5.0, 6.0]).unwrap());
        assert_eq!(inputs[1], Tensor::i64([4], vec![7, 8, 8, 8]).unwrap());
    }

    #[test]
    fn outputs_come_apart_by_rows() {
        let mut frame = Frame::plain(&spec(), 3).unwrap();
        let y = Tensor::f32([3, 2], (0..6_u8).map(f32::from).collect()).unwrap();
        frame.set_outputs(&[y]).unwrap();
        assert_eq!(frame.take(1..3).unwrap(), [Tensor::f32([2, 2], vec![2.0, 3.0, 4.0, 5.0]).unwrap()]);
        assert!(frame.take(2..4).is_err());
    }

    #[test]
    fn what_was_handed_over_only_in_part_is_not_handed_back() {
        let mut frame = Frame::plain(&spec(), 2).unwrap();
        let mut carry = |pairs: &[(usize, usize)]| frame.carry(&spec(), pairs.iter().copied());
        assert!(carry(&[(0, 0)]).is_ok());
        // There is no second output.
        assert!(carry(&[(0, 0), (0, 1)]).is_err());
        assert!(carry(&[(0, 0)]).is_err(), "nobody knows where it is");
    }

    #[test]
    fn rows_that_do_not_belong_into_a_graph_are_an_error() {
        let mut frame = Frame::plain(&spec(), 2).unwrap();
        let wide = Tensor::f32([1, 3], vec![0.0; 3]).unwrap();
        let whole = Tensor::i64([1, 2], vec![0; 2]).unwrap();
        let fine = Tensor::f32([3, 2], vec![0.0; 6]).unwrap();
        assert!(frame.put(0, 0, &wide, 0..1).is_err(), "another shape");
        assert!(frame.put(0, 0, &whole, 0..1).is_err(), "another type");
        assert!(frame.put(0, 0, &fine, 2..4).is_err(), "rows that are not there");
        assert!(frame.put(0, 0, &fine, 0..3).is_err(), "more than there is room for");
        assert!(frame.put(2, 0, &fine, 0..1).is_err(), "an input that is not there");
        assert!(frame.pad(0).is_err() && frame.pad(3).is_err());
        assert!(frame.set_outputs(&[wide]).is_err() && frame.set_outputs(&[]).is_err());
        assert!(frame.input::<i64>(0).is_err() && frame.output::<f32>(1).is_err());
    }

    #[test]
    fn a_graph_with_more_open_than_the_batch_cannot_be_framed() {
        let mut spec = spec();
        spec.inputs.push(TensorSpec::new("mask", Dtype::F32, ["batch".into(), "length".into()]));
        let error = Frame::plain(&spec, 1).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("`mask` has open dimensions"), "{error}");
    }
}
