//! The fields of requests, checked. An error names the field by its path and says what would be right.

use atelier_chassis::ServiceError;
pub(crate) use atelier_chassis::field::number;
use atelier_proto::codec::v1 as api;

/// The values of a code of `length` dimensions, `field` being its path.
pub(crate) fn code(field: &str, code: Option<api::Code>, length: usize) -> Result<Vec<f32>, ServiceError> {
    let Some(api::Code { values }) = code else {
        return Err(ServiceError::invalid(
            field,
            format!("is missing, but a code of {length} values is right"),
        ));
    };
    let field = format!("{field}.values");
    if values.len() != length {
        let message = format!("has {} values, but the model's codes have {length}", values.len());
        return Err(ServiceError::invalid(field, message));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            let value = values.get(at).copied().unwrap_or_default();
            let message = format!("value {at} (counted from 0) is {value}, but finite numbers are right");
            Err(ServiceError::invalid(field, message))
        }
        None => Ok(values),
    }
}
