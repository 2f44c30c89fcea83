//! A classifier of single pixels: what filters of several scales say of a pixel, random cosine features of
//! that (Rahimi and Recht 2007), and ridge regression. What a network has to be better than.

use atelier_transforms::segmentation::{Mask, Plane, percentile};
use rand::Rng;
use tch::{Device, Kind, Tensor};

use super::otsu;
use crate::data::nuclei::Nucleus;
use crate::random;

/// Standard deviations of the Gaussian filters, in pixels.
const SCALES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// Random features.
const FEATURES: usize = 600;
/// Pixels of each image that are learned from.
const PIXELS: usize = 1500;
/// What is added to the diagonal.
const RIDGE: f64 = 5.0;
/// The predicted value from which a pixel is foreground.
const THRESHOLD: f32 = 0.45;

/// The fitted classifier.
pub struct PixelRidge {
    /// Of the filters' answers, `[1, filters]`.
    mean: Tensor,
    deviation: Tensor,
    /// `[filters, FEATURES]` and `[1, FEATURES]`.
    directions: Tensor,
    phases: Tensor,
    /// `[FEATURES + filters + 1, 1]`.
    weights: Tensor,
}

impl PixelRidge {
    /// Learns from `PIXELS` pixels of each image.
    #[must_use]
    pub fn fit(images: &[&Nucleus]) -> Self {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for (number, nucleus) in images.iter().enumerate() {
            let mut rng = random::generator(&[0, random::ORDER, number as u64]);
            let mut pixels = random::permutation(&mut rng, nucleus.mask.pixels().len());
            pixels.truncate(PIXELS);
            let places: Vec<i64> = pixels.iter().map(|&p| p as i64).collect();
            let wanted: Vec<f32> =
                pixels.iter().map(|&p| f32::from(u8::from(nucleus.mask.pixels()[p]))).collect();
            inputs.push(filters(&nucleus.image).index_select(0, &Tensor::from_slice(&places)));
            targets.push(Tensor::from_slice(&wanted).unsqueeze(1));
        }
        let all = Tensor::cat(&inputs, 0);
        let mean = all.mean_dim([0i64].as_slice(), true, Kind::Float);
        let deviation = all.std_dim([0i64].as_slice(), false, true).clamp_min(1e-6);
        let count = all.size()[1];
        let mut rng = random::generator(&[0, random::INIT]);
        let normals: Vec<f32> =
            random::normals(&mut rng, count as usize * FEATURES).map(|x| x as f32).collect();
        // Uniform over the circle.
        let turns = (0..FEATURES).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64);
        let phases: Vec<f32> = turns.map(|turn| (turn * std::f64::consts::TAU) as f32).collect();
        let mut fitted = Self {
            mean,
            deviation,
            directions: Tensor::from_slice(&normals).reshape([count, -1]) * (0.9 / (count as f64).sqrt()),
            phases: Tensor::from_slice(&phases).unsqueeze(0),
            weights: Tensor::new(),
        };
        let size = FEATURES as i64 + count + 1;
        let mut gram = Tensor::eye(size, (Kind::Double, Device::Cpu)) * RIDGE;
        let mut moments = Tensor::zeros([size, 1], (Kind::Double, Device::Cpu));
        // An image at a time: all features together would be a gigabyte.
        for (x, y) in inputs.iter().zip(&targets) {
            let x = fitted.features(x);
            gram += x.tr().matmul(&x).to_kind(Kind::Double);
            moments += x.tr().matmul(y).to_kind(Kind::Double);
        }
        fitted.weights = Tensor::linalg_solve(&gram, &moments, true).to_kind(Kind::Float);
        fitted
    }

    /// Foreground and background of an image with grey levels from 0 to 255.
    #[must_use]
    pub fn segment(&self, image: &Plane) -> Mask {
        let predicted = self.features(&filters(image)).matmul(&self.weights).ge(f64::from(THRESHOLD));
        let pixels = crate::ops::eager::to_vec(&predicted).into_iter().map(|x| x > 0.5).collect();
        // One for each pixel of the image.
        Mask::new(image.height(), image.width(), pixels).unwrap_or_else(|| unreachable!("an empty image"))
    }

    fn features(&self, filters: &Tensor) -> Tensor {
        let scaled = (filters - &self.mean) / &self.deviation;
        let waves = (scaled.matmul(&self.directions) + &self.phases).cos();
        let ones = Tensor::ones([scaled.size()[0], 1], (Kind::Float, Device::Cpu));
        Tensor::cat(&[waves, scaled, ones], 1)
    }
}

/// What the filters say of each pixel, `[pixels, 25]`.
fn filters(image: &Plane) -> Tensor {
    let (height, width) = (image.height() as i64, image.width() as i64);
    let background = f64::from(percentile(image.values(), 20.0));
    let contrast = (f64::from(otsu::threshold(image)) - background).max(1.0);
    let x = (Tensor::from_slice(image.values()).reshape([height, width]) - background) / contrast;
    let log = |z: &Tensor| z.clamp_min(0.0).log1p();
    let mut answers = vec![log(&x)];
    for deviation in SCALES {
        let (rows, columns) = (blur(height, deviation), blur(width, deviation));
        let smooth = |z: &Tensor| rows.matmul(z).matmul(&columns.tr());
        let local = smooth(&x);
        let rest = &x - &local;
        let texture = smooth(&rest.square()).clamp_min(0.0).sqrt();
        answers.extend([log(&local), rest, texture]);
    }
    // The extremes of a square window; what is mirrored at the edge is inside of it anyway.
    let largest = |z: &Tensor, size: i64| {
        let half = size / 2;
        z.reshape([1, 1, height, width]).max_pool2d([size, size], [1, 1], [half, half], [1, 1], false)
    };
    let smallest = |z: &Tensor, size: i64| -largest(&-z, size);
    answers.extend([
        log(&largest(&x, 9)),
        log(&smallest(&x, 9)),
        log(&largest(&x, 25)),
        log(&smallest(&x, 5)),
    ]);
    answers.extend([x.full_like(contrast.ln()), x.full_like(x.std(false).double_value(&[]))]);
    let columns: Vec<Tensor> = answers.iter().map(|a| a.reshape([-1])).collect();
    Tensor::stack(&columns, 1)
}

/// A Gaussian filter along an axis of `length` as a matrix: cut off at four standard deviations, the picture
/// mirrored at its edge, between two pixels.
fn blur(length: i64, deviation: f64) -> Tensor {
    let radius = (4.0 * deviation + 0.5) as i64;
    let weights: Vec<f64> =
        (-radius..=radius).map(|k| (-0.5 * (k as f64 / deviation).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut matrix = vec![0f32; (length * length) as usize];
    for to in 0..length {
        for (k, weight) in (-radius..=radius).zip(&weights) {
            let folded = (to + k).rem_euclid(2 * length);
            let from = folded.min(2 * length - 1 - folded);
            matrix[(to * length + from) as usize] += (weight / sum) as f32;
        }
    }
    Tensor::from_slice(&matrix).reshape([length, length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_is_even_and_spreads_a_point_as_wide_as_it_says() {
        for deviation in [1.0, 3.0] {
            let matrix = blur(41, deviation);
            let sums = matrix.sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-6);
            let places = Tensor::arange(41, (Kind::Float, Device::Cpu)) - 20.0;
            let variance = (matrix.select(1, 20) * places.square()).sum(Kind::Double).double_value(&[]);
            assert!((variance.sqrt() - deviation).abs() < 0.01, "{variance}");
        }
    }
}
