//! Image quality: peak signal-to-noise ratio and structural similarity, each a mean over images.

use tch::{Kind, Tensor};

/// Mean over images of the peak signal-to-noise ratio in decibels, for `[n, 1, h, w]` with peak 1.
#[must_use]
pub fn psnr(a: &Tensor, b: &Tensor) -> f64 {
    let errors = (a - b).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double);
    // Two equal images would be infinitely alike: 100 dB stands for that.
    (errors.clamp_min(1e-10).log10() * -10.0).mean(Kind::Double).double_value(&[])
}

/// Mean structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004) of `[n, 1, h, w]` with peak 1: a
/// Gaussian window of 11 x 11 with standard deviation 1.5, borders mirrored, K1 = 0.01, K2 = 0.03.
#[must_use]
pub fn ssim(a: &Tensor, b: &Tensor) -> f64 {
    similarity(a, b).mean(Kind::Double).double_value(&[])
}

/// The structural similarity around each pixel, `[n, 1, h, w]`.
pub fn similarity(a: &Tensor, b: &Tensor) -> Tensor {
    let (mean_a, mean_b) = (blur(a), blur(b));
    let var_a = blur(&(a * a)) - &mean_a * &mean_a;
    let var_b = blur(&(b * b)) - &mean_b * &mean_b;
    let cov = blur(&(a * b)) - &mean_a * &mean_b;
    let numerator = (&mean_a * &mean_b * 2.0 + 1e-4) * (cov * 2.0 + 9e-4);
    let denominator = (mean_a.square() + mean_b.square() + 1e-4) * (var_a + var_b + 9e-4);
    numerator / denominator
}

fn blur(x: &Tensor) -> Tensor {
    const RADIUS: i64 = 5;
    let weights: Vec<f32> = (-RADIUS..=RADIUS).map(|i| (-(i * i) as f32 / (2.0 * 1.5 * 1.5)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let kernel = Tensor::from_slice(&weights) / f64::from(sum);
    let padded = x.reflection_pad2d([RADIUS, RADIUS, RADIUS, RADIUS]);
    let across = padded.conv2d(&kernel.reshape([1, 1, 1, -1]), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
    across.conv2d(&kernel.reshape([1, 1, -1, 1]), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn equal_images_are_alike_and_noise_makes_them_less_so() {
        tch::manual_seed(1);
        let image = Tensor::rand([4, 1, 28, 28], (Kind::Float, Device::Cpu));
        assert!((ssim(&image, &image) - 1.0).abs() < 1e-5);
        let (little, much) = (&image + image.randn_like() * 0.05, &image + image.randn_like() * 0.3);
        assert!(ssim(&image, &little) > ssim(&image, &much));
        assert!((psnr(&image, &(&image + 0.1)) - 20.0).abs() < 1e-3);
    }
}
