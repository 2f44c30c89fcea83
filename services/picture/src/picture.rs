//! An image as a model takes and gives it.

use atelier_package::ImageShape;

use crate::Format;

/// At most this many pixels a side, of an image that comes in.
pub const MAX_SIDE: u32 = 8192;
/// At most this many pixels in all, of an image that comes in.
pub const MAX_PIXELS: u64 = 16 << 20;

/// An image as a model takes and gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The size and number of planes.
    pub shape: ImageShape,
    /// From 0 to 1, plane after plane, each row by row from the top.
    pub values: Vec<f32>,
}

/// Why an image that came in cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// No bytes.
    #[error("is empty, but the bytes of a PNG or JPEG file are right")]
    Empty,
    /// The first bytes are those of neither format.
    #[error("is neither PNG nor JPEG by its first bytes ({0})")]
    UnknownFormat(String),
    /// The request names another format than the bytes have.
    #[error("says {declared}, but `data` is {actual} by its first bytes")]
    OtherFormat {
        /// What the request says.
        declared: Format,
        /// What it is.
        actual: Format,
    },
    /// Refused by its header, before anything was decoded.
    #[error("is {width}x{height} pixels, but at most {MAX_SIDE} a side and {MAX_PIXELS} in all are right")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Damaged, cut short, or of a variant that is not supported.
    #[error("is no whole {format}: {reason}")]
    Damaged {
        /// The format by the first bytes.
        format: Format,
        /// What the decoder says.
        reason: String,
    },
    /// To be used as it is, and cannot.
    #[error("is {actual}, but with the fit EXACT {wanted} is right; another fit would convert it")]
    NotExact {
        /// Size and colour mode of the image.
        actual: String,
        /// Size and colour mode of the model.
        wanted: String,
    },
}

impl Picture {
    /// The pictures of a tensor `[batch, channels, height, width]`, row by row of the batch.
    pub fn split(shape: ImageShape, values: &[f32]) -> Vec<Self> {
        let length = shape.channels * shape.height * shape.width;
        values.chunks(length.max(1)).map(|row| Self { shape, values: row.to_vec() }).collect()
    }
}

impl PictureError {
    /// The field of the `Image` message that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OtherFormat { .. } => "format",
            _ => "data",
        }
    }
}

/// Size and colour mode for people: `28x28 grey`.
pub(crate) fn describe(width: u32, height: u32, colour: bool, alpha: bool) -> String {
    let mode = if colour { "colour" } else { "grey" };
    let alpha = if alpha { " with alpha" } else { "" };
    format!("{width}x{height} {mode}{alpha}")
}
