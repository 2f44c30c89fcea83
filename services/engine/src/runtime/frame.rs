//! The inputs and outputs of a graph's runs at one batch size, in memory that is kept from run to run.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use atelier_package::{Dim, Dtype, GraphSpec, Tensor, TensorData, TensorSpec};
use ort::session::{IoBinding, RunOptions};
use ort::value::PrimitiveTensorElementType;

use super::binding::{bind_input, bind_output, hand_over};
use super::session::Runner;
use super::{Device, gpu};
use crate::EngineError;
use crate::fault::caught;

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
}

/// A tensor's elements, row-major.
pub(super) struct Numbers {
    /// With the frame's rows for the batch.
    pub(super) shape: Vec<usize>,
    pub(super) memory: Memory,
}

/// A tensor's elements, by their type.
pub(crate) enum Memory {
    F32(Cells<f32>),
    I64(Cells<i64>),
}

/// Where elements lie: with us, or where ONNX Runtime reads and writes them without a copy.
pub(crate) enum Cells<T: PrimitiveTensorElementType + Debug> {
    Ours(Vec<T>),
    Bound(ort::value::Tensor<T>),
    /// On the device, and with us where what we write is copied from and what we read to.
    Staged {
        host: ort::value::Tensor<T>,
        device: ort::value::Tensor<T>,
        /// Whether there is anything with us that the device does not have.
        written: bool,
    },
}

impl<T: PrimitiveTensorElementType + Debug> Cells<T> {
    fn get(&self) -> Option<&[T]> {
        match self {
            Self::Ours(values) => Some(values),
            Self::Bound(tensor) | Self::Staged { host: tensor, .. } => {
                tensor.try_extract_tensor().ok().map(|(_, values)| values)
            }
        }
    }

    fn get_mut(&mut self) -> Option<&mut [T]> {
        match self {
            Self::Ours(values) => Some(values),
            Self::Bound(tensor) => tensor.try_extract_tensor_mut().ok().map(|(_, values)| values),
            Self::Staged { host, written, .. } => {
                *written = true;
                host.try_extract_tensor_mut().ok().map(|(_, values)| values)
            }
        }
    }
}

/// The element types of a frame.
pub(crate) trait Number: PrimitiveTensorElementType + Copy + Debug + Default + 'static {
    fn of(tensor: &Tensor) -> Option<&[Self]>;
    fn data(values: Vec<Self>) -> TensorData;
    fn cells(memory: &Memory) -> Option<&Cells<Self>>;
    fn cells_mut(memory: &mut Memory) -> Option<&mut Cells<Self>>;

    fn at(memory: &Memory) -> Option<&[Self]> {
        Self::cells(memory)?.get()
    }

    fn at_mut(memory: &mut Memory) -> Option<&mut [Self]> {
        Self::cells_mut(memory)?.get_mut()
    }
}

/// What is particular to an element type: its name among the types of tensors.
macro_rules! number {
    ($number:ty, $variant:ident, $of:ident) => {
        impl Number for $number {
            fn of(tensor: &Tensor) -> Option<&[Self]> {
                tensor.$of()
            }

            fn data(values: Vec<Self>) -> TensorData {
                TensorData::$variant(values)
            }

            fn cells(memory: &Memory) -> Option<&Cells<Self>> {
                if let Memory::$variant(cells) = memory { Some(cells) } else { None }
            }

            fn cells_mut(memory: &mut Memory) -> Option<&mut Cells<Self>> {
                if let Memory::$variant(cells) = memory { Some(cells) } else { None }
            }
        }
    };
}

number!(f32, F32, as_f32);
number!(i64, I64, as_i64);

impl Numbers {
    fn dtype(&self) -> Dtype {
        match self.memory {
            Memory::F32(_) => Dtype::F32,
            Memory::I64(_) => Dtype::I64,
        }
    }

    /// Elements of a row, where the batch is the first dimension.
    fn row(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    fn put<T: Number>(&mut self, at: usize, tensor: &Tensor, rows: Range<usize>) -> Option<()> {
        let row = self.row();
        let from = T::of(tensor)?.get(rows.start * row..rows.end * row)?;
        T::at_mut(&mut self.memory)?.get_mut(at * row..(at + rows.len()) * row)?.copy_from_slice(from);
        Some(())
    }

    fn pad<T: Number>(&mut self, used: usize) -> Option<()> {
        let row = self.row();
        let values = T::at_mut(&mut self.memory)?;
        let (given, rest) = values.split_at_mut_checked(used * row)?;
        let last = given.get(used.checked_sub(1)? * row..)?;
        rest.chunks_exact_mut(row.max(1)).for_each(|to| to.copy_from_slice(last));
        Some(())
    }

    fn take<T: Number>(&self, rows: Range<usize>) -> Option<Tensor> {
        let (row, mut shape) = (self.row(), self.shape.clone());
        *shape.first_mut()? = rows.len();
        let values = T::at(&self.memory)?.get(rows.start * row..rows.end * row)?;
        Tensor::new(shape, T::data(values.to_vec())).ok()
    }

    fn whole<T: Number>(&self) -> Option<Tensor> {
        Tensor::new(self.shape.clone(), T::data(T::at(&self.memory)?.to_vec())).ok()
    }

    fn set<T: Number>(&mut self, tensor: &Tensor) -> Option<()> {
        let from = T::of(tensor).filter(|_| tensor.shape() == self.shape)?;
        T::at_mut(&mut self.memory)?.copy_from_slice(from);
        Some(())
    }
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
        Ok(Self { rows, inputs, outputs, device: Device::Cpu, binding: None, replayed: None })
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
    /// input and an output) is the input now, and what was the input is to be written over.
    pub(crate) fn carry(
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

fn broken() -> EngineError {
    EngineError::Runtime("a tensor of a run has another shape than its graph".into())
}

/// A runner with the frames of the sizes that it was run at: both go when it breaks.
pub(crate) struct Framed {
    // Before the runner, whose memory they have.
    frames: Vec<Frame>,
    runner: Box<dyn Runner>,
}

impl Framed {
    pub(crate) fn new(runner: Box<dyn Runner>) -> Self {
        Self { runner, frames: Vec::new() }
    }

    /// To be called once by the thread that runs it: where runs of this runner are recorded, they are now, at all of its sizes.
    pub(crate) fn record(&mut self, spec: &GraphSpec, sizes: &[usize]) -> Result<(), EngineError> {
        if self.runner.record() {
            sizes.iter().try_for_each(|rows| self.frame(spec, *rows).map(drop))?;
        }
        Ok(())
    }

    /// The runner, for what cannot be framed.
    pub(crate) fn runner(&mut self) -> &mut dyn Runner {
        self.runner.as_mut()
    }

    /// Where the inputs of a run of so many rows go.
    pub(crate) fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<&mut Frame, EngineError> {
        let at = match self.place(rows) {
            Some(at) => at,
            None => {
                self.frames.push(caught(|| self.runner.frame(spec, rows)).and_then(|r| r)?);
                self.frames.len() - 1
            }
        };
        self.frames.get_mut(at).ok_or_else(broken)
    }

    /// The frame of so many rows, if there was a run of that many.
    pub(crate) fn known(&self, rows: usize) -> Option<&Frame> {
        self.frames.get(self.place(rows)?)
    }

    /// Runs what is in the [frame](Self::frame) of so many rows. A panic is an error like any other; after either there
    /// is nothing to be had from this runner any more.
    pub(crate) fn run(&mut self, rows: usize) -> Result<&Frame, EngineError> {
        let frame = self.place(rows).and_then(|at| self.frames.get_mut(at)).ok_or_else(broken)?;
        caught(|| self.runner.run_frame(frame)).and_then(|r| r)?;
        Ok(frame)
    }

    fn place(&self, rows: usize) -> Option<usize> {
        self.frames.iter().position(|frame| frame.rows == rows)
    }
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
