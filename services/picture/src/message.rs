//! Pictures in the words of the API.

mod mask;

use atelier_chassis::ServiceError;
use atelier_package::ImageShape;
use atelier_proto::codec::v1 as api;
use bytes::Bytes;

use crate::{Decoded, Fit, Format, Picture, PictureError, to_png};

/// An image of a request that is there but not decoded yet.
#[derive(Debug)]
pub struct Encoded {
    field: String,
    data: Bytes,
    format: Option<Format>,
}

impl Encoded {
    /// Takes the image of a request, `field` being its path.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, where it is missing, empty, or says a format that is none.
    pub fn new(field: impl Into<String>, image: Option<api::Image>) -> Result<Self, ServiceError> {
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

    /// Decodes it to grey, at its own size, which must be at least `least` pixels a side and `most` in all.
    /// Takes long: not for an async thread.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, for what is no image, or one of another size.
    pub fn grey(self, least: usize, most: usize) -> Result<Picture, ServiceError> {
        let picture = self.decode()?.grey();
        let ImageShape { height, width, .. } = picture.shape;
        match height.min(width) < least || height * width > most {
            true => {
                let message = format!(
                    "is {width}x{height} pixels, but at least {least} a side and at most {most} in all are right"
                );
                Err(ServiceError::invalid(format!("{}.data", self.field), message))
            }
            false => Ok(picture),
        }
    }

    fn decode(&self) -> Result<Decoded, ServiceError> {
        Decoded::read(&self.data, self.format).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &PictureError) -> ServiceError {
        ServiceError::invalid(format!("{}.{}", self.field, error.field()), error.to_string())
    }

    /// Decodes and fits it. Takes long: not for an async thread.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, for what is no image, or one that cannot be fitted so.
    pub fn fit(self, fit: Fit, shape: ImageShape) -> Result<Picture, ServiceError> {
        fit.apply(&self.decode()?, shape).map_err(|error| self.wrong(&error))
    }
}

/// How the images of a request are fitted.
///
/// # Errors
/// INVALID_ARGUMENT naming `fit` for a number that is no fit.
pub fn fit(value: i32) -> Result<Fit, ServiceError> {
    match api::Fit::try_from(value) {
        Ok(api::Fit::Unspecified | api::Fit::Contain) => Ok(Fit::Contain),
        Ok(api::Fit::Exact) => Ok(Fit::Exact),
        Ok(api::Fit::Stretch) => Ok(Fit::Stretch),
        Ok(api::Fit::Cover) => Ok(Fit::Cover),
        Err(_) => Err(unknown_enum("fit", value, 4)),
    }
}

/// A picture as the API sends it: PNG. Takes long: not for an async thread.
///
/// # Errors
/// INTERNAL for what is no picture: models make them, callers do not.
pub fn png(picture: &Picture) -> Result<api::Image, ServiceError> {
    let data = to_png(picture).map_err(ServiceError::internal)?;
    Ok(api::Image { data: data.into(), format: api::ImageFormat::Png.into() })
}

/// A number that must be one of `0..=last`.
pub fn unknown_enum(field: impl Into<String>, value: i32, last: i32) -> ServiceError {
    ServiceError::invalid(field, format!("is {value}, but 0 to {last} are what there is"))
}
