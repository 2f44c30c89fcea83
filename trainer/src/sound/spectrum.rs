//! What sound is made of, frame by frame.

use std::io::Cursor;

use anyhow::Context;
use tch::{Device, Kind, Tensor};

use crate::ops::eager::to_vec;

/// Points of the Fourier transform; the spectrum has half of them and one.
pub const POINTS: i64 = 256;

/// Power spectra of Hann-windowed frames, `[frames, POINTS / 2 + 1]`, of `window` samples (at most
/// [`POINTS`]), one every `hop` samples. Silence is added at the end so that every sample lies in a frame.
pub fn power(samples: &[f32], window: i64, hop: i64) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    let padded = Tensor::from_slice(samples).constant_pad_nd([0, POINTS]);
    let frames = padded.unfold(0, window, hop) * hann(window);
    let bins = POINTS / 2 + 1;
    let turns = Tensor::arange(window, options).outer(&Tensor::arange(bins, options))
        * (std::f64::consts::TAU / POINTS as f64);
    frames.matmul(&turns.cos()).square() + frames.matmul(&turns.sin()).square()
}

/// The window that goes to 0 at both ends.
fn hann(length: i64) -> Tensor {
    let angle = Tensor::arange(length, (Kind::Float, Device::Cpu))
        * (std::f64::consts::TAU / (length - 1).max(1) as f64);
    angle.cos() * -0.5 + 0.5
}

/// Pixels of a picture for each frequency.
const ZOOM: u32 = 2;
/// Decibels from the loudest that are white.
const FLOOR: f64 = 65.0;

/// A picture of sound as a PNG file: time runs to the right, a column every `hop` samples, frequency upwards
/// to half the sample rate; the louder the darker.
///
/// # Errors
/// The picture cannot be packed.
pub fn png(samples: &[f32], hop: i64) -> anyhow::Result<Vec<u8>> {
    let decibels = (power(samples, POINTS, hop) + 1e-9).log10() * 10.0;
    let loudest = decibels.max().double_value(&[]);
    let shade = ((decibels - loudest) / -FLOOR).clamp(0.0, 1.0) * 255.0;
    let (columns, bins) = (shade.size()[0] as u32, shade.size()[1] as u32);
    let shade = to_vec(&shade);
    let mut picture = image::GrayImage::new(columns, bins * ZOOM);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let bin = bins - 1 - y / ZOOM;
        pixel.0 = [shade.get((x * bins + bin) as usize).map_or(255, |v| v.round() as u8)];
    }
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).context("a spectrogram cannot be packed")?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stands_at_its_frequency_in_every_frame() {
        // 1000 Hz at 8 kHz is a quarter of the way to half the sample rate.
        let tone: Vec<f32> =
            (0..4000).map(|i| (std::f32::consts::TAU * i as f32 * 1000.0 / 8000.0).sin()).collect();
        let power = power(&tone, 200, 80);
        assert_eq!(power.size()[1], 129);
        let loudest = power.argmax(1, false).narrow(0, 0, 40);
        assert!(bool::try_from(loudest.eq(32).all()).unwrap());
        let picture = image::load_from_memory(&png(&tone, 40).unwrap()).unwrap().to_luma8();
        let at = |bin: u32| picture.get_pixel(50, (128 - bin) * ZOOM).0[0];
        assert!(at(32) < 20 && at(100) > 200, "{} {}", at(32), at(100));
    }
}
