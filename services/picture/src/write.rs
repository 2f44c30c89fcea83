//! Writes a picture as PNG.

use atelier_package::ImageShape;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::Picture;

/// The picture as a PNG of 8 bits a channel; values outside of 0 to 1 become the nearer end.
///
/// Fails with the reason where a shape is no image: other than 1 or 3 planes, or sides that PNG cannot say.
pub fn to_png(picture: &Picture) -> Result<Vec<u8>, String> {
    let ImageShape { channels, height, width } = picture.shape;
    let colour = match channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        n => return Err(format!("an image of {n} planes is neither grey nor colour")),
    };
    let plane = width * height;
    if picture.values.len() != channels * plane {
        return Err(format!("{} values are no {channels}x{height}x{width} image", picture.values.len()));
    }
    // The nearest of 256 levels; the cast takes a NaN to 0.
    let level = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let interleaved: Vec<u8> =
        (0..plane).flat_map(|pixel| picture.values.iter().skip(pixel).step_by(plane).map(level)).collect();
    let side = |n: usize| u32::try_from(n).map_err(|_| format!("{n} pixels are too long a side"));
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&interleaved, side(width)?, side(height)?, colour)
        .map_err(|e| e.to_string())?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoded, Fit};

    #[test]
    fn what_is_written_is_read_back_to_the_nearest_level() {
        for channels in [1, 3] {
            let shape = ImageShape { channels, height: 2, width: 3 };
            let values: Vec<f32> = (0..channels * 6).map(|i| i as f32 / (channels * 6 - 1) as f32).collect();
            let png = to_png(&Picture { shape, values: values.clone() }).unwrap();
            let back = Fit::Exact.apply(&Decoded::read(&png, None).unwrap(), shape).unwrap();
            for (a, b) in values.iter().zip(&back.values) {
                assert!((a - b).abs() <= 0.5 / 255.0 + 1e-6, "{values:?} {back:?}");
            }
        }
    }

    #[test]
    fn values_beyond_the_ends_are_taken_to_the_ends_and_nan_to_black() {
        let shape = ImageShape { channels: 1, height: 1, width: 4 };
        let values = vec![-3.0, 7.0, f32::NAN, f32::INFINITY];
        let png = to_png(&Picture { shape, values }).unwrap();
        let back = Fit::Exact.apply(&Decoded::read(&png, None).unwrap(), shape).unwrap();
        assert_eq!(back.values, [0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        let shape = |channels| ImageShape { channels, height: 1, width: 1 };
        assert!(to_png(&Picture { shape: shape(2), values: vec![0.0; 2] }).is_err());
        assert!(to_png(&Picture { shape: shape(1), values: vec![0.0; 2] }).is_err());
    }
}
