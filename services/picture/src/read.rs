//! Reads an encoded image, with bounds on what a hostile one can cost.

use std::fmt;
use std::io::Cursor;

use atelier_package::ImageShape;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::{MAX_PIXELS, MAX_SIDE, Picture, PictureError, jpeg};

/// What a decoder may allocate beside the pixels: 16 megapixels of 8 bytes, and room to work.
const MAX_ALLOC: u64 = 256 << 20;

/// Red, green and blue in luma, by ITU-R BT.709.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// Baseline or progressive JPEG.
    Jpeg,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
        })
    }
}

impl Format {
    fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            _ => None,
        }
    }
}

/// A decoded image, at its own size and depth.
#[derive(Debug)]
pub struct Decoded(DynamicImage);

impl Decoded {
    /// Reads a PNG or JPEG file; if the request declares a format, the bytes must be of that. Turns it upright, as
    /// its EXIF data say.
    ///
    /// The size is judged by the header before anything is decoded.
    pub fn read(data: &[u8], declared: Option<Format>) -> Result<Self, PictureError> {
        let (format, mut decoder) = open(data, declared)?;
        let damaged = |error: ImageError| PictureError::Damaged { format, reason: reason(&error) };
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        image.apply_orientation(orientation);
        Ok(Self(image))
    }

    /// Width and height of a file by its header, with nothing decoded; of an image that lies on its side, before it
    /// is turned.
    pub(crate) fn size(data: &[u8], declared: Option<Format>) -> Result<(u32, u32), PictureError> {
        Ok(open(data, declared)?.1.dimensions())
    }

    /// The image at its own size as one grey plane: colour becomes luma by ITU-R BT.709, alpha is laid over
    /// black.
    pub fn grey(&self) -> Picture {
        let (width, height) = (self.width() as usize, self.height() as usize);
        let shape = ImageShape { channels: 1, height, width };
        Picture { shape, values: self.planes(false).concat() }
    }

    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    pub(crate) fn is_colour(&self) -> bool {
        self.0.color().has_color()
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.0.color().has_alpha()
    }

    /// The image over black, as one plane of luma or as red, green and blue, from 0 to 1.
    pub(crate) fn planes(&self, colour: bool) -> Vec<Vec<f32>> {
        let planes = if colour { 3 } else { 1 };
        match &self.0 {
            DynamicImage::ImageLuma8(b) => split::<_, 1>(b.as_raw(), false, 255.0, planes),
            DynamicImage::ImageLumaA8(b) => split::<_, 2>(b.as_raw(), true, 255.0, planes),
            DynamicImage::ImageRgb8(b) => split::<_, 3>(b.as_raw(), false, 255.0, planes),
            DynamicImage::ImageRgba8(b) => split::<_, 4>(b.as_raw(), true, 255.0, planes),
            DynamicImage::ImageLuma16(b) => split::<_, 1>(b.as_raw(), false, 65535.0, planes),
            DynamicImage::ImageLumaA16(b) => split::<_, 2>(b.as_raw(), true, 65535.0, planes),
            DynamicImage::ImageRgb16(b) => split::<_, 3>(b.as_raw(), false, 65535.0, planes),
            DynamicImage::ImageRgba16(b) => split::<_, 4>(b.as_raw(), true, 65535.0, planes),
            // Neither format has floats: what is left of the enum does not come up.
            other => split::<_, 4>(other.to_rgba16().as_raw(), true, 65535.0, planes),
        }
    }
}

/// What decodes a file, with its header read and judged.
fn open(data: &[u8], declared: Option<Format>) -> Result<(Format, impl ImageDecoder), PictureError> {
    if data.is_empty() {
        return Err(PictureError::Empty);
    }
    let format = Format::of(data).ok_or_else(|| {
        let first: Vec<String> = data.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        PictureError::UnknownFormat(first.join(" "))
    })?;
    if let Some(declared) = declared.filter(|declared| *declared != format) {
        return Err(PictureError::OtherFormat { declared, actual: format });
    }
    let damaged = |reason: String| PictureError::Damaged { format, reason };
    if format == Format::Jpeg {
        jpeg::check_whole(data).map_err(damaged)?;
    }
    let mut reader = ImageReader::with_format(
        Cursor::new(data),
        match format {
            Format::Png => ImageFormat::Png,
            Format::Jpeg => ImageFormat::Jpeg,
        },
    );
    // The sides are judged below, with better words.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| damaged(reason(&error)))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if pixels == 0 {
        return Err(damaged("it has no pixels".into()));
    }
    Ok((format, decoder))
}

/// Interleaved samples of `N` channels as planes from 0 to 1, the alpha channel laid over black.
fn split<T: Copy + Into<f32>, const N: usize>(
    raw: &[T],
    alpha: bool,
    max: f32,
    planes: usize,
) -> Vec<Vec<f32>> {
    let pixels = raw.as_chunks::<N>().0;
    let opacity = |pixel: &[T; N]| match pixel.last() {
        Some(last) if alpha => (*last).into() / max,
        _ => 1.0,
    };
    let sample = |pixel: &[T; N], channel: usize| pixel.get(channel).map_or(0.0, |v| (*v).into() / max);
    let colour = N >= 3;
    (0..planes)
        .map(|plane| {
            let value = |pixel: &[T; N]| match (colour, planes) {
                (true, 1) => LUMA.iter().enumerate().map(|(c, weight)| weight * sample(pixel, c)).sum(),
                (true, _) => sample(pixel, plane),
                (false, _) => sample(pixel, 0),
            };
            pixels.iter().map(|pixel| (value(pixel) * opacity(pixel)).clamp(0.0, 1.0)).collect()
        })
        .collect()
}

/// The decoder's own words, on one line and without its name for the format.
fn reason(error: &ImageError) -> String {
    let mut text = match error {
        ImageError::Decoding(inner) => {
            std::error::Error::source(inner).map_or_else(|| inner.to_string(), ToString::to_string)
        }
        ImageError::Limits(_) => "it takes more memory to decode than an image may".to_owned(),
        ImageError::IoError(inner) if inner.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it ends early, as if cut short".to_owned()
        }
        other => other.to_string(),
    };
    text.retain(|c| !c.is_control());
    text.chars().take(200).collect()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
