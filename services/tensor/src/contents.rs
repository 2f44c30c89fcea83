//! The elements of a tensor, as they are in messages.

use atelier_chassis::ServiceError;
use atelier_package::{Dtype, Tensor, TensorData};
use atelier_proto::inference::InferTensorContents;
use bytes::Bytes;

use crate::datatype;

/// A tensor out of the field of its type. `field` is the path of the contents; the number of elements of the
/// shape is known to fit a machine word.
pub(crate) fn typed(
    field: &str,
    dtype: Dtype,
    shape: Vec<usize>,
    contents: InferTensorContents,
) -> Result<Tensor, ServiceError> {
    let filled = filled(&contents);
    let right = datatype::field(dtype);
    if let Some(other) = filled.iter().find(|name| **name != right) {
        let message =
            format!("is filled, but the elements of a tensor of {} are in {right}", datatype::name(dtype));
        return Err(ServiceError::invalid(format!("{field}.{other}"), message));
    }
    let data = match dtype {
        Dtype::F32 => TensorData::F32(contents.fp32_contents),
        Dtype::I64 => TensorData::I64(contents.int64_contents),
    };
    let count = match &data {
        TensorData::F32(values) => values.len(),
        TensorData::I64(values) => values.len(),
    };
    let expected: usize = shape.iter().product();
    if count != expected {
        let message = format!("has {count} elements, but shape {shape:?} has {expected}");
        return Err(ServiceError::invalid(format!("{field}.{right}"), message));
    }
    Tensor::new(shape, data).map_err(|e| ServiceError::invalid(field, e.to_string()))
}

/// A tensor out of little-endian bytes. `field` is the path of the bytes; the number of elements of the shape is
/// known to fit a machine word.
pub(crate) fn raw(
    field: &str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &[u8],
) -> Result<Tensor, ServiceError> {
    let count: usize = shape.iter().product();
    if count.checked_mul(dtype.size()) != Some(bytes.len()) {
        let message = format!(
            "has {} bytes, but {} {shape:?} has {} ({count} of {} each)",
            bytes.len(),
            datatype::name(dtype),
            count.saturating_mul(dtype.size()),
            dtype.size()
        );
        return Err(ServiceError::invalid(field, message));
    }
    Tensor::from_le_bytes(dtype, shape, bytes).map_err(|e| ServiceError::invalid(field, e.to_string()))
}

/// The elements as little-endian bytes, without a copy where the machine has them so.
pub(crate) fn to_raw(tensor: Tensor) -> Bytes {
    if cfg!(target_endian = "big") {
        return tensor.to_le_bytes().into();
    }
    match tensor.into_parts().1 {
        TensorData::F32(values) => Bytes::from_owner(Elements(values)),
        TensorData::I64(values) => Bytes::from_owner(Elements(values)),
    }
}

/// What a message holds as bytes until it is sent.
struct Elements<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Elements<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The elements in the field of their type, without a copy.
pub(crate) fn to_typed(tensor: Tensor) -> InferTensorContents {
    match tensor.into_parts().1 {
        TensorData::F32(values) => InferTensorContents { fp32_contents: values, ..Default::default() },
        TensorData::I64(values) => InferTensorContents { int64_contents: values, ..Default::default() },
    }
}

/// The names of the fields that have elements.
fn filled(contents: &InferTensorContents) -> Vec<&'static str> {
    [
        ("bool_contents", contents.bool_contents.is_empty()),
        ("int_contents", contents.int_contents.is_empty()),
        ("int64_contents", contents.int64_contents.is_empty()),
        ("uint_contents", contents.uint_contents.is_empty()),
        ("uint64_contents", contents.uint64_contents.is_empty()),
        ("fp32_contents", contents.fp32_contents.is_empty()),
        ("fp64_contents", contents.fp64_contents.is_empty()),
        ("bytes_contents", contents.bytes_contents.is_empty()),
    ]
    .into_iter()
    .filter(|(_, empty)| !empty)
    .map(|(name, _)| name)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_and_typed_elements_are_the_same_tensor_and_come_back_as_they_went() {
        let tensor = Tensor::f32([2, 2], vec![1.5, -0.0, f32::MIN_POSITIVE, 3.0]).unwrap();
        let bytes = to_raw(tensor.clone());
        assert_eq!(&bytes[..4], 1.5_f32.to_le_bytes());
        assert_eq!(raw("r", Dtype::F32, vec![2, 2], &bytes), Ok(tensor.clone()));
        assert_eq!(typed("c", Dtype::F32, vec![2, 2], to_typed(tensor.clone())), Ok(tensor));
        let tensor = Tensor::i64([3], vec![i64::MIN, 0, 7]).unwrap();
        assert_eq!(raw("r", Dtype::I64, vec![3], &to_raw(tensor.clone())), Ok(tensor.clone()));
        assert_eq!(typed("c", Dtype::I64, vec![3], to_typed(tensor.clone())), Ok(tensor));
    }

    #[test]
    fn a_wrong_length_is_told_with_the_right_one() {
        let error = raw("raw_input_contents[0]", Dtype::F32, vec![2, 3], &[0; 20]).unwrap_err().to_string();
        assert_eq!(error, "raw_input_contents[0]: has 20 bytes, but FP32 [2, 3] has 24 (6 of 4 each)");
        let five = InferTensorContents { fp32_contents: vec![0.0; 5], ..Default::default() };
        let error = typed("inputs.x.contents", Dtype::F32, vec![2, 3], five).unwrap_err().to_string();
        assert_eq!(error, "inputs.x.contents.fp32_contents: has 5 elements, but shape [2, 3] has 6");
    }

    #[test]
    fn elements_in_the_field_of_another_type_are_refused_even_beside_the_right_ones() {
        let mut contents = InferTensorContents { fp64_contents: vec![0.0], ..Default::default() };
        for _ in 0..2 {
            let error = typed("c", Dtype::F32, vec![1], contents.clone()).unwrap_err().to_string();
            assert!(error.starts_with("c.fp64_contents: is filled, but"), "{error}");
            contents.fp32_contents = vec![0.0];
        }
    }
}
