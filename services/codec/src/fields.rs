//! The fields of requests, checked. An error names the field by its path and says what would be right.

use std::fmt::Display;
use std::ops::RangeInclusive;

use atelier_chassis::ServiceError;
use atelier_proto::codec::v1 as api;
use bytes::Bytes;

use crate::picture::{Decoded, Fit, Format, Picture, PictureError};

/// An image that is there but not decoded yet.
#[derive(Debug)]
pub(crate) struct Encoded {
    field: String,
    data: Bytes,
    format: Option<Format>,
}

impl Encoded {
    /// Takes the image of a request, `field` being its path.
    pub(crate) fn new(field: impl Into<String>, image: Option<api::Image>) -> Result<Self, ServiceError> {
        let field = field.into();
        let Some(api::Image { data, format }) = image else {
            return Err(ServiceError::invalid(field, "is missing, but a PNG or JPEG image is right"));
        };
        let format = match api::ImageFormat::try_from(format) {
            Ok(api::ImageFormat::Unspecified) => None,
            Ok(api::ImageFormat::Png) => Some(Format::Png),
            Ok(api::ImageFormat::Jpeg) => Some(Format::Jpeg),
            Err(_) => return Err(unknown_enum(format!("{field}.format"), format, 2)),
        };
        // Said here and not where it is decoded: nothing needs to be queued for it.
        match data.is_empty() {
            true => Err(ServiceError::invalid(format!("{field}.data"), PictureError::Empty.to_string())),
            false => Ok(Self { field, data, format }),
        }
    }

    /// Decodes and fits it. Takes long: not for an async thread.
    pub(crate) fn fit(self, fit: Fit, shape: atelier_package::ImageShape) -> Result<Picture, ServiceError> {
        let wrong = |error: PictureError| {
            ServiceError::invalid(format!("{}.{}", self.field, error.field()), error.to_string())
        };
        let decoded = Decoded::read(&self.data, self.format).map_err(wrong)?;
        fit.apply(&decoded, shape).map_err(wrong)
    }
}

/// How images are fitted.
pub(crate) fn fit(value: i32) -> Result<Fit, ServiceError> {
    match api::Fit::try_from(value) {
        Ok(api::Fit::Unspecified | api::Fit::Contain) => Ok(Fit::Contain),
        Ok(api::Fit::Exact) => Ok(Fit::Exact),
        Ok(api::Fit::Stretch) => Ok(Fit::Stretch),
        Ok(api::Fit::Cover) => Ok(Fit::Cover),
        Err(_) => Err(unknown_enum("fit", value, 4)),
    }
}

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

/// A number that must be within `range`; absent, it is `default`.
pub(crate) fn number<T>(
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

fn unknown_enum(field: impl Into<String>, value: i32, last: i32) -> ServiceError {
    ServiceError::invalid(field, format!("is {value}, but 0 to {last} are what there is"))
}
