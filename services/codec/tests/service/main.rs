//! The codec service over the real engine, serving the little packages of `tests/models`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not take the helpers of tests for tests"
)]

mod listing;
mod methods;
mod refusals;
mod segment;
mod telemetry;

use std::path::Path;

use atelier_codec::Codec;
use atelier_engine::{Config, Engine};
use atelier_package::Repository;
use atelier_proto::codec::v1::{Image, ImageFormat};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

/// The size of the images of `tiny-vae` and `tiny-dae`, which are grey.
const WIDTH: u32 = 5;
const HEIGHT: u32 = 6;

fn engine() -> Engine {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    assert!(repository.rejected().is_empty(), "{:?}", repository.rejected());
    let packages: Vec<_> = repository.latest().cloned().collect();
    let engine = Engine::load(&Config::default(), &packages).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn codec() -> Codec {
    Codec::new(engine())
}

fn png(image: impl Into<DynamicImage>) -> Option<Image> {
    let mut data = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut data, image::ImageFormat::Png).unwrap();
    Some(Image { data: data.into_inner().into(), format: ImageFormat::Png.into() })
}

fn grey() -> GrayImage {
    GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([(40 * x + 13 * y) as u8]))
}

fn colour() -> RgbImage {
    RgbImage::from_fn(4, 4, |x, y| Rgb([(60 * x) as u8, (60 * y) as u8, 128]))
}

/// A picture of the service, which is a PNG and says so.
fn picture(image: Option<Image>) -> DynamicImage {
    let image = image.expect("there is an image");
    assert_eq!(image.format(), ImageFormat::Png);
    image::load_from_memory_with_format(&image.data, image::ImageFormat::Png).unwrap()
}
