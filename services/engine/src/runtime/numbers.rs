//! The elements of one input or output of a frame, wherever they lie.

use std::fmt::Debug;
use std::ops::Range;

use atelier_package::{Dtype, Tensor, TensorData};
use ort::value::PrimitiveTensorElementType;

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
    pub(super) fn dtype(&self) -> Dtype {
        match self.memory {
            Memory::F32(_) => Dtype::F32,
            Memory::I64(_) => Dtype::I64,
        }
    }

    /// Elements of a row, where the batch is the first dimension.
    pub(super) fn row(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    pub(super) fn put<T: Number>(&mut self, at: usize, tensor: &Tensor, rows: Range<usize>) -> Option<()> {
        let row = self.row();
        let from = T::of(tensor)?.get(rows.start * row..rows.end * row)?;
        T::at_mut(&mut self.memory)?.get_mut(at * row..(at + rows.len()) * row)?.copy_from_slice(from);
        Some(())
    }

    pub(super) fn pad<T: Number>(&mut self, used: usize) -> Option<()> {
        let row = self.row();
        let values = T::at_mut(&mut self.memory)?;
        let (given, rest) = values.split_at_mut_checked(used * row)?;
        let last = given.get(used.checked_sub(1)? * row..)?;
        rest.chunks_exact_mut(row.max(1)).for_each(|to| to.copy_from_slice(last));
        Some(())
    }

    pub(super) fn take<T: Number>(&self, rows: Range<usize>) -> Option<Tensor> {
        let (row, mut shape) = (self.row(), self.shape.clone());
        *shape.first_mut()? = rows.len();
        let values = T::at(&self.memory)?.get(rows.start * row..rows.end * row)?;
        Tensor::new(shape, T::data(values.to_vec())).ok()
    }

    pub(super) fn whole<T: Number>(&self) -> Option<Tensor> {
        Tensor::new(self.shape.clone(), T::data(T::at(&self.memory)?.to_vec())).ok()
    }

    pub(super) fn set<T: Number>(&mut self, tensor: &Tensor) -> Option<()> {
        let from = T::of(tensor).filter(|_| tensor.shape() == self.shape)?;
        T::at_mut(&mut self.memory)?.copy_from_slice(from);
        Some(())
    }
}
