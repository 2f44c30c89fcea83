//! Fields of requests, checked. An error names the field by its path and says what would be right.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::ServiceError;

/// A number that must be within `range`; absent, it is `default`.
///
/// # Errors
/// INVALID_ARGUMENT naming `field` and the range.
pub fn number<T>(
    field: &str,
    value: Option<T>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, ServiceError>
where
    T: PartialOrd + Display,
{
    let value = value.unwrap_or(default);
    // A NaN is in no range.
    match range.contains(&value) {
        true => Ok(value),
        false => {
            let message = format!("is {value}, but {} to {} is right", range.start(), range.end());
            Err(ServiceError::invalid(field, message))
        }
    }
}
