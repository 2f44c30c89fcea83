//! How loud sound is in bands that are about as wide as what an ear tells apart.

use tch::{Kind, Tensor};

use super::spectrum;

/// Samples of a window.
const WINDOW: i64 = 200;
/// What is added to a power: silence has a logarithm too.
const FLOOR: f64 = 1e-5;

/// Logarithms of the power in so many bands, `[frames, bands]`: a frame of 200 samples every `hop` samples.
pub fn logarithms(samples: &[f32], hop: i64, bands: i64) -> Tensor {
    (spectrum::power(samples, WINDOW, hop).matmul(&bank(bands)) + FLOOR).log()
}

/// The same at so many moments, `[moments, bands]`: each in the middle of its share of the recording, however long
/// that is.
pub fn at_moments(samples: &[f32], moments: i64, bands: i64) -> Tensor {
    /// Frames are this many samples apart, and what lies between them on a straight line.
    const HOP: i64 = 40;
    // So that frame i is around sample i HOP.
    let padded = [vec![0.0; (WINDOW / 2) as usize], samples.to_vec()].concat();
    let frames = logarithms(&padded, HOP, bands);
    let last = frames.size()[0] - 1;
    let place =
        |i: i64| (samples.len() as f64 * (i as f64 + 0.5) / moments as f64 / HOP as f64).min(last as f64);
    let places: Vec<f64> = (0..moments).map(place).collect();
    let take = |next: i64| {
        let frame: Vec<i64> = places.iter().map(|p| (p.floor() as i64 + next).min(last)).collect();
        frames.index_select(0, &Tensor::from_slice(&frame))
    };
    let share: Vec<f32> = places.iter().map(|p| p.fract() as f32).collect();
    let (before, after) = (take(0), take(1));
    &before + (&after - &before) * Tensor::from_slice(&share).to_kind(Kind::Float).unsqueeze(1)
}

/// Triangles at even distances in mel from 60 Hz to 4 kHz, `[129, bands]`.
fn bank(bands: i64) -> Tensor {
    const RATE: f64 = crate::data::digits::SAMPLE_RATE as f64;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(60.0), mel(RATE / 2.0));
    let place = |i: i64| {
        let at = low + (high - low) * i as f64 / (bands + 1) as f64;
        (hertz(at) / RATE * spectrum::POINTS as f64).floor()
    };
    let bins = spectrum::POINTS / 2 + 1;
    let mut bank = vec![0f32; (bins * bands) as usize];
    for band in 0..bands {
        let start = place(band);
        // Low bands are narrower than a bin: each gets one at least.
        let top = place(band + 1).max(start + 1.0);
        let end = place(band + 2).max(start + 2.0).max(top + 1.0);
        for bin in 0..bins {
            let at = bin as f64;
            let height = ((at - start) / (top - start)).min((end - at) / (end - top)).max(0.0);
            bank[(bin * bands + band) as usize] = height as f32;
        }
    }
    Tensor::from_slice(&bank).reshape([bins, bands])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::eager::to_vec;

    #[test]
    fn every_band_has_a_bin_and_bands_do_not_fall() {
        for bands in [26, 32] {
            let bank = bank(bands);
            let bank: Vec<Vec<f32>> = (0..bands).map(|b| to_vec(&bank.select(1, b))).collect();
            let centre = |band: &Vec<f32>| {
                let weight: f32 = band.iter().sum();
                band.iter().enumerate().map(|(i, w)| i as f32 * w).sum::<f32>() / weight
            };
            assert!(bank.iter().all(|band| band.iter().any(|w| *w > 0.5)));
            assert!(bank.windows(2).all(|pair| centre(&pair[0]) <= centre(&pair[1])));
        }
    }

    #[test]
    fn a_moment_is_what_sounds_in_the_middle_of_its_share() {
        let tone = |hertz: f32, i: usize| (std::f32::consts::TAU * i as f32 * hertz / 8000.0).sin();
        for length in [1600usize, 6400] {
            // Low in the first half, high in the second.
            let samples: Vec<f32> =
                (0..length).map(|i| tone(if i < length / 2 { 300.0 } else { 3000.0 }, i)).collect();
            let loudest = at_moments(&samples, 8, 32).argmax(1, false);
            let loudest = Vec::<i64>::try_from(loudest).unwrap();
            assert!(loudest[..4].iter().all(|b| *b == loudest[0]), "{loudest:?}");
            assert!(loudest[4..].iter().all(|b| *b == loudest[7] && *b > loudest[0] + 10), "{loudest:?}");
        }
        // Shorter than a window.
        assert_eq!(at_moments(&[0.5; 3], 4, 32).size(), [4, 32]);
    }
}
