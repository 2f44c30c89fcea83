//! The types of elements in the words of the protocol.

use atelier_package::Dtype;
use atelier_proto::inference::DataType;

/// A type as in `datatype`.
pub(crate) fn name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "FP32",
        Dtype::I64 => "INT64",
    }
}

/// A type as in a model's configuration.
pub(crate) fn config(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::TypeFp32,
        Dtype::I64 => DataType::TypeInt64,
    }
}

/// The field of `contents` that elements of this type are in.
pub(crate) fn field(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "fp32_contents",
        Dtype::I64 => "int64_contents",
    }
}
