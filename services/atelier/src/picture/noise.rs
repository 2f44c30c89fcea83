//! Gaussian noise for demonstrations.

use image::DynamicImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::flat::flatten;

/// The picture with noise of this standard deviation (on the 0 to 1 scale) on every channel, clipped to
/// what an 8-bit picture can hold. The same seed and number give the same noise.
///
/// Grey stays grey; transparency is laid over black, as the servers do.
pub(crate) fn add_noise(picture: &DynamicImage, sigma: f32, seed: u64, number: u64) -> DynamicImage {
    let mut gaussian = Gaussian::new(seed, number);
    let mut noisy = |value: u8| {
        let value = f32::from(value) / 255.0 + sigma * gaussian.next();
        // Within 0 to 255 after the clamp.
        (value.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    match flatten(picture) {
        DynamicImage::ImageLuma8(mut grey) => {
            grey.iter_mut().for_each(|value| *value = noisy(*value));
            grey.into()
        }
        colour => {
            let mut colour = colour.into_rgb8();
            colour.iter_mut().for_each(|value| *value = noisy(*value));
            colour.into()
        }
    }
}

/// Standard normal numbers by the transform of Box and Muller, which gives two at a time.
struct Gaussian {
    random: ChaCha8Rng,
    second: Option<f32>,
}

impl Gaussian {
    /// A stream for each picture, so that its noise does not depend on what else is being done.
    fn new(seed: u64, number: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        Self { random, second: None }
    }

    fn next(&mut self) -> f32 {
        if let Some(second) = self.second.take() {
            return second;
        }
        // Over 0, whose logarithm there is none of.
        let radius = (-2.0 * libm::log(1.0 - self.random.random::<f64>())).sqrt();
        // From libm and not the platform's own library, so that the noise is the same everywhere.
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.random.random::<f64>());
        self.second = Some((radius * sin) as f32);
        (radius * cos) as f32
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Rgb, RgbImage};

    use super::*;

    #[test]
    fn the_noise_has_the_deviation_that_was_asked() {
        let mut gaussian = Gaussian::new(7, 0);
        let drawn: Vec<f32> = (0..100_000).map(|_| gaussian.next()).collect();
        let n = drawn.len() as f32;
        let mean = drawn.iter().sum::<f32>() / n;
        let deviation = (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        // Four standard errors.
        assert!(mean.abs() < 0.0127 && (deviation - 1.0).abs() < 0.009, "{mean} {deviation}");

        let grey = DynamicImage::ImageLuma8(GrayImage::from_pixel(100, 100, [128].into()));
        let noisy = add_noise(&grey, 0.1, 7, 0).to_luma8();
        let error = noisy.iter().map(|v| (f32::from(*v) - 128.0).powi(2)).sum::<f32>() / 10_000.0;
        assert!((error.sqrt() / 255.0 - 0.1).abs() < 0.003, "{}", error.sqrt() / 255.0);
    }

    #[test]
    fn noise_comes_from_seed_and_number_alone() {
        let grey = DynamicImage::new_luma8(28, 28);
        assert_eq!(add_noise(&grey, 0.2, 1, 3), add_noise(&grey, 0.2, 1, 3));
        assert_ne!(add_noise(&grey, 0.2, 1, 3), add_noise(&grey, 0.2, 1, 4));
        assert_ne!(add_noise(&grey, 0.2, 1, 3), add_noise(&grey, 0.2, 2, 3));
    }

    #[test]
    fn without_noise_a_picture_stays_what_it_is_and_what_is_clear_is_black() {
        let colour = RgbImage::from_fn(5, 5, |x, y| Rgb([x as u8 * 50, y as u8 * 50, 9]));
        let colour = DynamicImage::ImageRgb8(colour);
        assert_eq!(add_noise(&colour, 0.0, 1, 0), colour);
        let clear = DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(1, 1, [200, 100, 50, 0].into()));
        assert_eq!(add_noise(&clear, 0.0, 1, 0).to_rgb8().get_pixel(0, 0).0, [0, 0, 0]);
    }
}
