//! Walks from one image to another.

use std::sync::Arc;

use atelier_chassis::{ServiceError, field};
use atelier_engine::seed;
use atelier_picture::walk;
use atelier_proto::image::v1 as api;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::generate::{TOGETHER, small};
use crate::job::Job;
use crate::latent::{Latent, Space, truncation};

/// The most frames of one walk.
const MAX_FRAMES: u32 = 240;
/// The frames of a walk where the request says nothing: a second of film.
const FRAMES: u32 = 24;

/// A request for a walk, checked.
#[derive(Debug)]
pub(crate) struct Interpolate {
    job: Job,
    space: Space,
    frames: Vec<Latent>,
    start_seed: u64,
    end_seed: u64,
}

impl Interpolate {
    /// Checks a request and finds what its frames are made from.
    pub(crate) fn new(job: Job, request: api::InterpolateRequest) -> Result<Self, ServiceError> {
        let frames = field::number("frames", request.frames, FRAMES, 2..=MAX_FRAMES)? as usize;
        let truncation = truncation(request.truncation)?;
        let space = Space::of(&job)?;
        let end_of = |path: &str, point: Option<api::LatentPoint>| {
            let api::LatentPoint { seed, index, class, age } = point.unwrap_or_default();
            let wanted = space.knowledge.wanted(path, &class, age)?;
            let seed = seed::resolve(seed);
            Ok::<_, ServiceError>((seed, space.draw(seed, index, wanted, truncation)))
        };
        let (start_seed, start) = end_of("start.", request.start)?;
        let (end_seed, end) = end_of("end.", request.end)?;
        let frames = between(&start, &end, frames);
        Ok(Self { job, space, frames, start_seed, end_seed })
    }

    /// The frames, some computed at a time, when those before were taken.
    pub(crate) fn answer(self) -> BoxStream<'static, Result<api::InterpolateResponse, ServiceError>> {
        let request = Arc::new(self);
        stream::iter((0..request.frames.len()).step_by(TOGETHER))
            .then(move |start| some(Arc::clone(&request), start))
            .map_ok(|answers| stream::iter(answers.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

async fn some(
    request: Arc<Interpolate>,
    start: usize,
) -> Result<Vec<api::InterpolateResponse>, ServiceError> {
    let Interpolate { job, space, frames, start_seed, end_seed } = request.as_ref();
    let latents = frames.get(start..frames.len().min(start + TOGETHER)).unwrap_or_default();
    let images = job.images(space.pictures(job, latents).await?).await?;
    let answer = |(number, (latent, image)): (usize, (&Latent, _))| api::InterpolateResponse {
        model: job.version(),
        start_seed: *start_seed,
        end_seed: *end_seed,
        index: small(number),
        frames: small(frames.len()),
        image: Some(image),
        condition: Some(space.knowledge.condition(latent.class, latent.age)),
        licence: job.licence(),
    };
    Ok((start..).zip(latents.iter().zip(images)).map(answer).collect())
}

/// What the frames from one image to another are made from, both included: the code along the great circle,
/// the age evenly, the class that of the nearer end.
fn between(start: &Latent, end: &Latent, frames: usize) -> Vec<Latent> {
    let last = frames.saturating_sub(1).max(1);
    let frame = |(number, z): (usize, Vec<f32>)| {
        let t = number as f32 / last as f32;
        Latent {
            z,
            class: if number * 2 < frames { start.class } else { end.class },
            // Exact at both ends, and never outside of them.
            age: start.age.zip(end.age).map(|(from, to)| from * (1.0 - t) + to * t),
        }
    };
    walk(&start.z, &end.z, frames, true).into_iter().enumerate().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_turns_evenly_ages_evenly_and_changes_class_once_halfway() {
        let start = Latent { z: vec![2.0, 0.0], class: Some(3), age: Some(10.0) };
        let end = Latent { z: vec![0.0, 2.0], class: Some(1), age: Some(70.0) };
        let frames = between(&start, &end, 5);
        assert_eq!((&frames[0], &frames[4]), (&start, &end));
        assert_eq!(frames.iter().map(|f| f.class.unwrap()).collect::<Vec<_>>(), [3, 3, 3, 1, 1]);
        assert_eq!(frames.iter().map(|f| f.age.unwrap()).collect::<Vec<_>>(), [10.0, 25.0, 40.0, 55.0, 70.0]);
        for frame in &frames {
            let length = frame.z.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((length - 2.0).abs() < 1e-5, "{frame:?}");
        }
        let two = between(&start, &end, 2);
        assert_eq!(two, [start, end]);
    }
}
