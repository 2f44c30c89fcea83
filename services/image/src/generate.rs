//! Makes new images.

use std::sync::Arc;

use atelier_chassis::{ServiceError, Stage, field};
use atelier_engine::seed;
use atelier_picture::{Picture, columns, message, tile};
use atelier_proto::image::v1 as api;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::job::Job;
use crate::latent::{Latent, Space, truncation};

/// The most images of one request.
const MAX_COUNT: u32 = 64;
/// Images that are made together: enough to fill a batch, few enough that the first come soon.
pub(crate) const TOGETHER: usize = 16;

/// A request to make images, checked.
#[derive(Debug)]
pub(crate) struct Generate {
    job: Job,
    space: Space,
    latents: Vec<Latent>,
    seed: u64,
    first: u32,
    grid: bool,
}

impl Generate {
    /// Checks a request and draws what its images are made from.
    pub(crate) fn new(job: Job, request: &api::GenerateRequest) -> Result<Self, ServiceError> {
        let count = field::number("count", request.count, 1, 1..=MAX_COUNT)?;
        let first = field::number("first", Some(request.first), 0, 0..=u32::MAX - MAX_COUNT)?;
        let truncation = truncation(request.truncation)?;
        let grid = match api::Layout::try_from(request.layout) {
            Ok(api::Layout::Unspecified | api::Layout::Separate) => false,
            Ok(api::Layout::Grid) => true,
            Err(_) => return Err(message::unknown_enum("layout", request.layout, 2)),
        };
        let space = Space::of(&job)?;
        let wanted = space.knowledge.wanted("", &request.class, request.age)?;
        let seed = seed::resolve(request.seed);
        let latents = (first..first + count).map(|i| space.draw(seed, i, wanted, truncation)).collect();
        Ok(Self { job, space, latents, seed, first, grid })
    }

    /// The messages of the answer, each computed when the one before it was taken.
    pub(crate) fn answer(self) -> BoxStream<'static, Result<api::GenerateResponse, ServiceError>> {
        let request = Arc::new(self);
        if request.grid {
            return stream::once(grid(request)).boxed();
        }
        let starts = (0..request.latents.len()).step_by(TOGETHER);
        stream::iter(starts)
            .then(move |start| separate(Arc::clone(&request), start))
            .map_ok(|answers| stream::iter(answers.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn some(&self, start: usize) -> &[Latent] {
        let end = self.latents.len().min(start + TOGETHER);
        self.latents.get(start..end).unwrap_or_default()
    }

    fn condition(&self, latent: &Latent) -> api::Condition {
        self.space.knowledge.condition(latent.class, latent.age)
    }
}

/// The images from number `start`, each in a message of its own.
async fn separate(request: Arc<Generate>, start: usize) -> Result<Vec<api::GenerateResponse>, ServiceError> {
    let latents = request.some(start);
    let images = request.job.images(request.space.pictures(&request.job, latents).await?).await?;
    let answer = |(number, (latent, image)): (usize, (&Latent, _))| api::GenerateResponse {
        model: request.job.version(),
        seed: request.seed,
        index: request.first + small(number),
        count: small(request.latents.len()),
        image: Some(image),
        conditions: vec![request.condition(latent)],
        columns: 1,
        licence: request.job.licence(),
    };
    Ok((start..).zip(latents.iter().zip(images)).map(answer).collect())
}

/// All images as one.
async fn grid(request: Arc<Generate>) -> Result<api::GenerateResponse, ServiceError> {
    let mut pictures: Vec<Picture> = Vec::with_capacity(request.latents.len());
    for start in (0..request.latents.len()).step_by(TOGETHER) {
        pictures.extend(request.space.pictures(&request.job, request.some(start)).await?);
    }
    let columns = columns(pictures.len());
    let none = || ServiceError::internal("the pictures of one generator differ in shape");
    let drawn = move || message::png(&tile(&pictures, columns).ok_or_else(none)?);
    Ok(api::GenerateResponse {
        model: request.job.version(),
        seed: request.seed,
        index: request.first,
        count: small(request.latents.len()),
        image: Some(request.job.blocking.run(Stage::Encode, drawn).await?),
        conditions: request.latents.iter().map(|latent| request.condition(latent)).collect(),
        columns: small(columns),
        licence: request.job.licence(),
    })
}

/// Numbers of images are bounded by what a request may ask for.
pub(crate) fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
