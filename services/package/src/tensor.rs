//! The plain tensor that package, engine and trainer hand to each other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The element types that Atelier's graphs take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE 754 floating point.
    F32,
    /// 64-bit signed integer.
    I64,
}

impl Dtype {
    /// Bytes an element takes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::I64 => "i64",
        })
    }
}

/// The elements of a [`Tensor`], row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl TensorData {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }
}

/// Why a tensor cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The number of elements is not the product of the shape.
    #[error("a tensor of shape {shape:?} has {expected} elements, not {actual}")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Its product.
        expected: usize,
        /// The elements given.
        actual: usize,
    },
    /// The product of the shape does not fit a machine word.
    #[error("a tensor of shape {shape:?} has more elements than can be counted")]
    Overflow {
        /// The shape asked for.
        shape: Vec<usize>,
    },
}

/// A dense, row-major tensor: shape and elements, whose number is always the product of the shape.
///
/// An empty shape is a scalar with one element; a dimension of 0 makes an empty tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of floats; the length of `data` must be the product of `shape`.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, TensorError> {
        Self::new(shape, TensorData::F32(data))
    }

    /// A tensor of integers; the length of `data` must be the product of `shape`.
    pub fn i64(shape: impl Into<Vec<usize>>, data: Vec<i64>) -> Result<Self, TensorError> {
        Self::new(shape, TensorData::I64(data))
    }

    /// A tensor of either type; the length of `data` must be the product of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: TensorData) -> Result<Self, TensorError> {
        let shape = shape.into();
        let Some(expected) = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)) else {
            return Err(TensorError::Overflow { shape });
        };
        if expected != data.len() {
            return Err(TensorError::Length { expected, actual: data.len(), shape });
        }
        Ok(Self { shape, data })
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self.data {
            TensorData::F32(_) => Dtype::F32,
            TensorData::I64(_) => Dtype::I64,
        }
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements, if they are floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(v) => Some(v),
            TensorData::I64(_) => None,
        }
    }

    /// The elements, if they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            TensorData::I64(v) => Some(v),
            TensorData::F32(_) => None,
        }
    }

    /// The elements, to be changed, if they are floats.
    pub fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.data {
            TensorData::F32(v) => Some(v),
            TensorData::I64(_) => None,
        }
    }

    /// The elements, to be changed, if they are integers.
    pub fn as_i64_mut(&mut self) -> Option<&mut [i64]> {
        match &mut self.data {
            TensorData::I64(v) => Some(v),
            TensorData::F32(_) => None,
        }
    }

    /// The elements without a copy, if they are floats.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self.data {
            TensorData::F32(v) => Some(v),
            TensorData::I64(_) => None,
        }
    }

    /// The elements without a copy, if they are integers.
    pub fn into_i64(self) -> Option<Vec<i64>> {
        match self.data {
            TensorData::I64(v) => Some(v),
            TensorData::F32(_) => None,
        }
    }

    /// Shape and elements without a copy.
    pub fn into_parts(self) -> (Vec<usize>, TensorData) {
        (self.shape, self.data)
    }

    /// The elements as little-endian bytes, row-major.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match &self.data {
            TensorData::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// A tensor out of little-endian bytes, row-major; their number must be that of the shape's elements.
    pub fn from_le_bytes(
        dtype: Dtype,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        if !bytes.len().is_multiple_of(dtype.size()) {
            // The elements are counted upwards: the odd bytes are what is too much.
            let expected = shape.iter().product();
            return Err(TensorError::Length { shape, expected, actual: bytes.len() / dtype.size() + 1 });
        }
        let data = match dtype {
            Dtype::F32 => {
                TensorData::F32(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            Dtype::I64 => {
                TensorData::I64(bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
            }
        };
        Self::new(shape, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_as_many_elements_as_its_shape_says() {
        let e = Tensor::f32([2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(e.to_string(), "a tensor of shape [2, 3] has 6 elements, not 5");
        assert!(Tensor::f32([], vec![1.0]).is_ok());
        assert!(Tensor::i64([0, 9], vec![]).is_ok());
        let e = Tensor::f32([usize::MAX, 2], vec![]).unwrap_err();
        assert!(matches!(e, TensorError::Overflow { .. }));
    }

    #[test]
    fn bytes_and_back_are_the_same_tensor() {
        let t = Tensor::f32([2, 2], vec![1.5, -0.0, f32::MIN_POSITIVE, 3.0]).unwrap();
        assert_eq!(Tensor::from_le_bytes(Dtype::F32, [2, 2], &t.to_le_bytes()).unwrap(), t);
        let t = Tensor::i64([3], vec![i64::MIN, 0, 7]).unwrap();
        assert_eq!(Tensor::from_le_bytes(Dtype::I64, [3], &t.to_le_bytes()).unwrap(), t);
        assert!(Tensor::from_le_bytes(Dtype::F32, [1], &[0; 5]).is_err());
    }
}
