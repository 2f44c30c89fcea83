//! The image service over the real engine, serving the little packages of `tests/models`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not take the helpers of tests for tests"
)]

mod age;
mod generate;
mod interpolate;
mod refusals;

use std::path::Path;

use atelier_engine::{Config, Engine};
use atelier_image::Images;
use atelier_package::Repository;
use atelier_proto::codec::v1::{Image, ImageFormat};
use atelier_proto::image::v1::image_service_server::ImageService;
use atelier_proto::image::v1::{GenerateRequest, GenerateResponse, InterpolateRequest, InterpolateResponse};
use atelier_proto::models::v1::ModelVersion;
use futures_util::TryStreamExt;
use image::{DynamicImage, RgbImage};
use tonic::{Request, Status};

/// The side of the images of `tiny-ager`, which are in colour.
const FACE: u32 = 6;

fn engine() -> Engine {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    assert!(repository.rejected().is_empty(), "{:?}", repository.rejected());
    let packages: Vec<_> = repository.latest().cloned().collect();
    let engine = Engine::load(&Config::default(), &packages).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn images() -> Images {
    Images::new(engine())
}

async fn generate(images: &Images, request: GenerateRequest) -> Result<Vec<GenerateResponse>, Status> {
    images.generate(Request::new(request)).await?.into_inner().try_collect().await
}

async fn interpolate(
    images: &Images,
    request: InterpolateRequest,
) -> Result<Vec<InterpolateResponse>, Status> {
    images.interpolate(Request::new(request)).await?.into_inner().try_collect().await
}

fn is(model: &Option<ModelVersion>, name: &str) {
    assert_eq!(model, &Some(ModelVersion { name: name.into(), version: 1 }));
}

fn png(image: impl Into<DynamicImage>) -> Option<Image> {
    let mut data = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut data, image::ImageFormat::Png).unwrap();
    Some(Image { data: data.into_inner().into(), format: ImageFormat::Png.into() })
}

/// What `tiny-ager` takes for a face: of middling brightness.
fn face() -> RgbImage {
    RgbImage::from_fn(FACE, FACE, |x, y| [(20 * x + 80) as u8, (20 * y + 60) as u8, 128].into())
}

/// A picture of the service, which is a PNG and says so.
fn picture(image: &Option<Image>) -> DynamicImage {
    let image = image.as_ref().expect("there is an image");
    assert_eq!(image.format(), ImageFormat::Png);
    image::load_from_memory_with_format(&image.data, image::ImageFormat::Png).unwrap()
}
