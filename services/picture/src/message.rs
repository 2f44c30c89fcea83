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

    /// How many pixels it has, by its header: nothing is decoded. They must be at least `least` a side and at
    /// most `most` in all. Reads the whole file: not for an async thread.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, for what is no image, or one of another size.
    pub fn pixels(&self, least: usize, most: usize) -> Result<usize, ServiceError> {
        let size = Decoded::size(&self.data, self.format).map_err(|error| self.wrong(&error))?;
        let (width, height) = (size.0 as usize, size.1 as usize);
        match height.min(width) < least || height * width > most {
            true => {
                let message = format!(
                    "is {width}x{height} pixels, but at least {least} a side and at most {most} in all are right"
                );
                Err(ServiceError::invalid(format!("{}.data", self.field), message))
            }
            false => Ok(height * width),
        }
    }

    /// Decodes it to grey, at its own size. Takes long: not for an async thread.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, for what is no image.
    pub fn grey(self) -> Result<Picture, ServiceError> {
        Ok(self.decode()?.grey())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_not_right_is_refused_by_the_header_before_anything_is_decoded() {
        // A file that says it has these sides, with the data of one pixel.
        let pixel = Picture { shape: ImageShape { channels: 1, height: 1, width: 1 }, values: vec![0.5] };
        let mut data = to_png(&pixel).unwrap();
        data[16..20].copy_from_slice(&100_u32.to_be_bytes());
        data[20..24].copy_from_slice(&60_u32.to_be_bytes());
        let crc = crc32fast::hash(&data[12..29]);
        data[29..33].copy_from_slice(&crc.to_be_bytes());
        let image = Encoded::new("image", Some(api::Image { data: data.into(), format: 0 })).unwrap();
        assert_eq!(image.pixels(60, 6000), Ok(6000));
        for (least, most) in [(61, 6000), (60, 5999)] {
            let error = image.pixels(least, most).unwrap_err().to_string();
            let right = format!("at least {least} a side and at most {most} in all are right");
            assert!(error.contains("image.data: is 100x60 pixels") && error.contains(&right), "{error}");
        }
        let error = image.grey().unwrap_err().to_string();
        assert!(error.contains("no whole PNG"), "{error}");
    }
}
