//! Real pictures, noise on them, and how near two are.

use std::io::Cursor;
use std::path::PathBuf;

use atelier_proto::codec::v1::{Image, ImageFormat};
use image::{DynamicImage, GrayImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::workspace;

/// The side of a picture of the fashion models, in pixels.
pub const SIDE: u32 = 28;

/// The first 16 images of Fashion-MNIST's test split.
pub fn clothes() -> Vec<GrayImage> {
    let strip = include_bytes!("../fixtures/fashion-mnist/test-16.png");
    let strip = image::load_from_memory(strip).unwrap().into_luma8();
    let count = strip.width() / SIDE;
    (0..count).map(|at| image::imageops::crop_imm(&strip, at * SIDE, 0, SIDE, SIDE).to_image()).collect()
}

/// The files of nine images of the same split, each of another class, with the name that the class has there.
pub fn labelled() -> Vec<(PathBuf, &'static str)> {
    let of = |(file, class): (&str, &'static str)| (workspace().join("docs/clothes").join(file), class);
    let classes = [
        ("bag.png", "Bag"),
        ("boot.png", "Ankle boot"),
        ("coat.png", "Coat"),
        ("dress.png", "Dress"),
        ("pullover.png", "Pullover"),
        ("sandal.png", "Sandal"),
        ("sneaker.png", "Sneaker"),
        ("t-shirt.png", "T-shirt/top"),
        ("trouser.png", "Trouser"),
    ];
    classes.into_iter().map(of).collect()
}

/// The file of a picture.
pub fn encode(picture: impl Into<DynamicImage>, format: image::ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// The file of a picture, a PNG.
pub fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    encode(picture, image::ImageFormat::Png)
}

/// A file as a request carries it, its format left to the server.
pub fn file(data: impl Into<Vec<u8>>) -> Option<Image> {
    Some(Image { data: data.into().into(), format: ImageFormat::Unspecified.into() })
}

/// A picture as a request carries it.
pub fn message(picture: &GrayImage) -> Option<Image> {
    file(png(picture.clone()))
}

/// The picture of an answer, which must be what the API promises: a grey PNG of the model's size.
pub fn answer(image: Option<Image>) -> GrayImage {
    let image = image.expect("an image");
    assert_eq!(image.format(), ImageFormat::Png);
    let picture = image::load_from_memory_with_format(&image.data, image::ImageFormat::Png).unwrap();
    let DynamicImage::ImageLuma8(picture) = picture else { panic!("not 8-bit grey: {:?}", picture.color()) };
    assert_eq!(picture.dimensions(), (SIDE, SIDE));
    picture
}

/// The picture with Gaussian noise of this standard deviation on the 0 to 1 scale, clipped.
pub fn noisy(picture: &GrayImage, sigma: f64, seed: u64) -> GrayImage {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // By Box and Muller.
    let mut gaussian = || {
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
    };
    let mut noisy = picture.clone();
    for value in noisy.iter_mut() {
        *value = (f64::from(*value) + 255.0 * sigma * gaussian()).round().clamp(0.0, 255.0) as u8;
    }
    noisy
}

/// The mean squared error on the 0 to 1 scale.
pub fn mse(a: &GrayImage, b: &GrayImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let squares = a.iter().zip(b.iter()).map(|(a, b)| ((f64::from(*a) - f64::from(*b)) / 255.0).powi(2));
    squares.sum::<f64>() / f64::from(a.width() * a.height())
}

/// The peak signal-to-noise ratio in dB.
pub fn psnr(a: &GrayImage, b: &GrayImage) -> f64 {
    -10.0 * mse(a, b).log10()
}

/// The arithmetic mean.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}
