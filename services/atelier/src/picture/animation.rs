//! Many pictures one after the other: animated PNG, which every browser plays and nothing is lost in.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, RgbImage};

use crate::cli::failure::{Exit, Failure};

/// The most pixels of all frames together.
const MAX_PIXELS: u64 = 256_000_000;

/// Frames of one size as an animated PNG that plays for ever, each pixel drawn `scale` times larger.
///
/// # Errors
/// `Usage` where it would be too large; `Other` for frames of different sizes.
pub(crate) fn animate(frames: &[DynamicImage], scale: u32, fps: u16) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::new(Exit::Other, format!("cannot make an animation: {what}"));
    let first = frames.first().ok_or_else(|| failed("there is no frame".into()))?;
    let (width, height) = (first.width(), first.height());
    if frames.iter().any(|frame| (frame.width(), frame.height()) != (width, height)) {
        return Err(failed("its frames differ in size".into()));
    }
    let pixels = u64::from(width) * u64::from(height) * u64::from(scale).pow(2) * frames.len() as u64;
    let count = u32::try_from(frames.len()).ok().filter(|_| pixels <= MAX_PIXELS);
    let count = count.ok_or_else(|| Failure::usage("the animation would be too large: lower --scale"))?;
    let (width, height) = (width * scale, height * scale);
    let colour = frames.iter().any(|frame| frame.color().has_color());

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(if colour { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::Eight);
    let write = || {
        encoder.set_animated(count, 0)?;
        encoder.set_frame_delay(1, fps)?;
        let mut writer = encoder.write_header()?;
        for frame in frames {
            writer.write_image_data(&enlarged(frame, (width, height), colour))?;
        }
        writer.finish()
    };
    write().map_err(|e: png::EncodingError| failed(e.to_string()))?;
    Ok(bytes)
}

/// The samples of a frame, row by row. Every pixel stays a square that can be counted.
fn enlarged(frame: &DynamicImage, (width, height): (u32, u32), colour: bool) -> Vec<u8> {
    match colour {
        true => {
            let larger: RgbImage = imageops::resize(&frame.to_rgb8(), width, height, FilterType::Nearest);
            larger.into_raw()
        }
        false => {
            let larger: GrayImage = imageops::resize(&frame.to_luma8(), width, height, FilterType::Nearest);
            larger.into_raw()
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngDecoder;
    use image::{AnimationDecoder, Rgb};

    use super::*;

    fn grey(level: u8) -> DynamicImage {
        DynamicImage::ImageLuma8(GrayImage::from_pixel(3, 2, [level].into()))
    }

    #[test]
    fn frames_play_in_order_at_their_pace() {
        let red = DynamicImage::ImageRgb8(RgbImage::from_pixel(3, 2, Rgb([200, 0, 0])));
        for frames in [vec![grey(10), grey(20), grey(30)], vec![grey(10), red]] {
            let bytes = animate(&frames, 2, 8).unwrap();
            let decoder = PngDecoder::new(std::io::Cursor::new(&bytes)).unwrap();
            let read = decoder.apng().unwrap().into_frames().collect_frames().unwrap();
            assert_eq!(read.len(), frames.len());
            for (read, frame) in read.iter().zip(&frames) {
                assert_eq!(read.delay().numer_denom_ms(), (125, 1));
                assert_eq!(read.buffer().dimensions(), (6, 4));
                let wanted = frame.to_rgba8();
                assert!(read.buffer().pixels().all(|pixel| pixel == wanted.get_pixel(0, 0)));
            }
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert!(animate(&[], 1, 8).is_err());
        let other = DynamicImage::new_luma8(2, 2);
        assert!(animate(&[grey(1), other], 1, 8).unwrap_err().to_string().contains("differ in size"));
        let refused = animate(&vec![grey(1); 20_000], 64, 8).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
    }
}
