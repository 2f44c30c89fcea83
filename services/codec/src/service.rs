//! The methods of `CodecService`.

use std::sync::Arc;

use atelier_chassis::{Blocking, Deadline, ServiceError, models};
use atelier_engine::{Engine, seed};
use atelier_package::Kind;
use atelier_picture::{Encoded, message, walk};
use atelier_proto::codec::v1 as api;
use atelier_proto::codec::v1::codec_service_server::CodecService;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::classify;
use crate::codec::{CLASSIFYING, CODING, DENOISING, INPAINTING, Job, SEGMENTING, VARIATIONAL, mse};
use crate::fields;
use crate::graph;
use crate::inpaint;
use crate::segment;
use crate::telemetry;

/// The most images of one Sample request.
const MAX_COUNT: u32 = 64;
/// The most frames of one walk.
const MAX_STEPS: u32 = 256;
/// Frames that are decoded together: enough to fill a batch, few enough that the first come soon.
const FRAMES: usize = 16;
/// Pixels that may be in the making of masks at once: 192 MiB, four of the largest images.
const SEGMENTING_PIXELS: usize = 1 << 24;

/// `CodecService` over the models of an engine.
#[derive(Debug, Clone)]
pub struct Codec {
    engine: Engine,
    blocking: Blocking,
    room: segment::Room,
}

impl Codec {
    /// Serves the models that `engine` has loaded.
    pub fn new(engine: Engine) -> Self {
        Self { engine, blocking: Blocking::default(), room: segment::Room::new(SEGMENTING_PIXELS) }
    }

    fn job(
        &self,
        model: (&str, u32),
        kinds: &[Kind],
        deadline: Option<Deadline>,
    ) -> Result<Job, ServiceError> {
        Job::new(&self.engine, &self.blocking, model, kinds, deadline)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CodecService for Codec {
    async fn encode(&self, request: Request<api::EncodeRequest>) -> Answer<api::EncodeResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &CODING, deadline)?;
        if request.sample && !VARIATIONAL.contains(&job.model.kind()) {
            let (name, kind) = (job.model.name(), job.model.kind());
            let message = format!("needs a model of kind {}, but {name} is of kind {kind}", VARIATIONAL[0]);
            return Err(ServiceError::invalid("sample", message).into());
        }
        let fit = message::fit(request.fit)?;
        let image = Encoded::new("image", request.image)?;
        let picture = job.picture(image, fit, "encoder").await?;
        let posterior = job.encode(picture).await?;
        let seed = if request.sample { seed::resolve(request.seed) } else { 0 };
        let sample = request.sample.then(|| {
            let noise = seed::normal(seed, posterior.mean.len());
            let draw =
                |((mean, log_variance), eps): ((&f32, &f32), f32)| mean + (log_variance / 2.0).exp() * eps;
            let values = posterior.mean.iter().zip(&posterior.log_variance).zip(noise).map(draw).collect();
            api::Code { values }
        });
        Ok(Response::new(api::EncodeResponse {
            model: Some(models::model_version(&job.model)),
            seed,
            mean: Some(api::Code { values: posterior.mean }),
            log_variance: posterior.log_variance,
            sample,
        }))
    }

    async fn decode(&self, request: Request<api::DecodeRequest>) -> Answer<api::DecodeResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &CODING, deadline)?;
        let code = fields::code("code", request.code, graph::code_length(&job.model)?)?;
        let picture = job.decode(&[code], Some("code.values")).await?.pop();
        let picture = picture.ok_or_else(|| ServiceError::internal("the decoder gave no image"))?;
        Ok(Response::new(api::DecodeResponse {
            model: Some(models::model_version(&job.model)),
            image: job.image(picture).await?,
        }))
    }

    async fn reconstruct(
        &self,
        request: Request<api::ReconstructRequest>,
    ) -> Answer<api::ReconstructResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &CODING, deadline)?;
        let fit = message::fit(request.fit)?;
        let image = Encoded::new("image", request.image)?;
        let original = job.picture(image, fit, "encoder").await?;
        let code = job.encode(original.clone()).await?.mean;
        let picture = job.decode(&[code], None).await?.pop();
        let picture = picture.ok_or_else(|| ServiceError::internal("the decoder gave no image"))?;
        let mse = mse(&original, &picture);
        Ok(Response::new(api::ReconstructResponse {
            model: Some(models::model_version(&job.model)),
            image: job.image(picture).await?,
            mse,
        }))
    }

    async fn denoise(&self, request: Request<api::DenoiseRequest>) -> Answer<api::DenoiseResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &DENOISING, deadline)?;
        let fit = message::fit(request.fit)?;
        let sigma = match request.sigma {
            Some(sigma) => Some(fields::number("sigma", Some(sigma), 0.0, 0.0..=job.greatest_sigma())?),
            None => None,
        };
        let image = Encoded::new("image", request.image)?;
        let graph = if sigma.is_some() { "denoiser" } else { "blind" };
        let picture = job.picture(image, fit, graph).await?;
        let picture = job.denoise(picture, sigma).await?;
        Ok(Response::new(api::DenoiseResponse {
            model: Some(models::model_version(&job.model)),
            image: job.image(picture).await?,
        }))
    }

    async fn sample(&self, request: Request<api::SampleRequest>) -> Answer<api::SampleResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &VARIATIONAL, deadline)?;
        let count = fields::number("count", request.count, 1, 1..=MAX_COUNT)? as usize;
        let temperature = fields::number("temperature", request.temperature, 1.0, 0.0..=2.0)?;
        let seed = seed::resolve(request.seed);
        let length = graph::code_length(&job.model)?;
        let noise = seed::normal(seed, count * length);
        let codes: Vec<Vec<f32>> =
            noise.chunks(length.max(1)).map(|z| z.iter().map(|z| temperature * z).collect()).collect();
        let pictures = job.decode(&codes, None).await?;
        Ok(Response::new(api::SampleResponse {
            model: Some(models::model_version(&job.model)),
            seed,
            images: job.images(pictures).await?,
            codes: codes.into_iter().map(|values| api::Code { values }).collect(),
        }))
    }

    async fn classify(&self, request: Request<api::ClassifyRequest>) -> Answer<api::ClassifyResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let (model, needed) =
            ((request.model.as_str(), request.version), (&CLASSIFYING[..], classify::GRAPH));
        let job = Job::with_graph(&self.engine, &self.blocking, model, needed, deadline)?;
        Ok(Response::new(classify::classify(&job, request).await?))
    }

    async fn inpaint(&self, request: Request<api::InpaintRequest>) -> Answer<api::InpaintResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &INPAINTING, deadline)?;
        Ok(Response::new(inpaint::inpaint(&job, request).await?))
    }

    async fn segment(&self, request: Request<api::SegmentRequest>) -> Answer<api::SegmentResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &SEGMENTING, deadline)?;
        Ok(Response::new(segment::segment(&job, &self.room, request).await?))
    }

    type InterpolateStream = BoxStream<'static, Result<api::InterpolateResponse, Status>>;

    async fn interpolate(
        &self,
        request: Request<api::InterpolateRequest>,
    ) -> Answer<Self::InterpolateStream> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), &CODING, deadline)?;
        let steps = fields::number("steps", request.steps, 8, 2..=MAX_STEPS)?;
        let fit = message::fit(request.fit)?;
        let start = job.waypoint("start", request.start, fit).await?;
        let end = job.waypoint("end", request.end, fit).await?;
        let codes = walk(&start, &end, steps as usize, request.spherical);
        // Should the walk lead out of what the model has images of, it is the end farther out that does.
        let length = |code: &[f32]| code.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let farther = if length(&start) > length(&end) { "start" } else { "end" };
        let (job, chunks) = (Arc::new(job), codes.chunks(FRAMES).map(<[_]>::to_vec).collect::<Vec<_>>());
        // Each chunk is computed when the one before it was taken: nothing runs on for a client that is gone.
        let frames = stream::iter(chunks.into_iter().enumerate())
            .then(move |(chunk, codes)| frames(Arc::clone(&job), chunk * FRAMES, steps, codes, farther))
            .map_ok(|frames| stream::iter(frames.into_iter().map(Ok)))
            .try_flatten()
            .map_err(|error: ServiceError| Status::from(error));
        Ok(Response::new(frames.boxed()))
    }

    type DetectAnomaliesStream = BoxStream<'static, Result<api::DetectAnomaliesResponse, Status>>;

    async fn detect_anomalies(
        &self,
        request: Request<Streaming<api::DetectAnomaliesRequest>>,
    ) -> Answer<Self::DetectAnomaliesStream> {
        let deadline = Deadline::of(&request);
        Ok(Response::new(telemetry::stream(self.engine.clone(), request.into_inner(), deadline)))
    }

    async fn detect_anomalies_in_recording(
        &self,
        request: Request<api::DetectAnomaliesInRecordingRequest>,
    ) -> Answer<api::DetectAnomaliesInRecordingResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let (model, channel) = ((request.model.as_str(), request.version), ("channel", &*request.channel));
        let mut watch = telemetry::Watch::new(&self.engine, model, channel, deadline)?;
        telemetry::recording("rows", &request.rows, &watch)?;
        let watched = watch.push("rows", &request.rows).await?;
        Ok(Response::new(api::DetectAnomaliesInRecordingResponse {
            model: Some(models::model_version(&watch.model)),
            scores: watched.scores,
            alarms: watched.alarms,
        }))
    }
}

/// The frames of some codes of a walk, the first being number `first`; `farther` is its end that is farther out.
async fn frames(
    job: Arc<Job>,
    first: usize,
    steps: u32,
    codes: Vec<Vec<f32>>,
    farther: &'static str,
) -> Result<Vec<api::InterpolateResponse>, ServiceError> {
    let pictures = job.decode(&codes, Some(farther)).await?;
    let images = job.images(pictures).await?;
    let frame = |(at, (values, image)): (usize, (Vec<f32>, api::Image))| api::InterpolateResponse {
        model: Some(models::model_version(&job.model)),
        index: u32::try_from(first + at).unwrap_or(u32::MAX),
        steps,
        image: Some(image),
        code: Some(api::Code { values }),
    };
    Ok(codes.into_iter().zip(images).enumerate().map(frame).collect())
}
