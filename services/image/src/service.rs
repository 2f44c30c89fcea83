//! The methods of `ImageService`.

use atelier_chassis::{Blocking, Deadline, ServiceError};
use atelier_engine::Engine;
use atelier_package::Kind;
use atelier_picture::{Encoded, message};
use atelier_proto::image::v1 as api;
use atelier_proto::image::v1::image_service_server::ImageService;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use tonic::{Request, Response, Status};

use crate::age;
use crate::generate::Generate;
use crate::interpolate::Interpolate;
use crate::job::Job;

/// `ImageService` over the models of an engine.
#[derive(Debug, Clone)]
pub struct Images {
    engine: Engine,
    blocking: Blocking,
}

impl Images {
    /// Serves the models that `engine` has loaded.
    pub fn new(engine: Engine) -> Self {
        Self { engine, blocking: Blocking::default() }
    }

    fn job(&self, model: (&str, u32), kind: Kind, deadline: Option<Deadline>) -> Result<Job, ServiceError> {
        Job::new(&self.engine, &self.blocking, model, kind, deadline)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ImageService for Images {
    type GenerateStream = BoxStream<'static, Result<api::GenerateResponse, Status>>;

    async fn generate(&self, request: Request<api::GenerateRequest>) -> Answer<Self::GenerateStream> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), Kind::Gan, deadline)?;
        let answer = Generate::new(job, &request)?.answer();
        Ok(Response::new(answer.map_err(Status::from).boxed()))
    }

    type InterpolateStream = BoxStream<'static, Result<api::InterpolateResponse, Status>>;

    async fn interpolate(
        &self,
        request: Request<api::InterpolateRequest>,
    ) -> Answer<Self::InterpolateStream> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), Kind::Gan, deadline)?;
        let answer = Interpolate::new(job, request)?.answer();
        Ok(Response::new(answer.map_err(Status::from).boxed()))
    }

    async fn age(&self, request: Request<api::AgeRequest>) -> Answer<api::AgeResponse> {
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let job = self.job((&request.model, request.version), Kind::Ager, deadline)?;
        age::ages(&job, &request.ages)?;
        let fit = message::fit(request.fit)?;
        let image = Encoded::new("image", request.image)?;
        let (face, novelty) = age::face(&job, image, fit).await?;
        Ok(Response::new(api::AgeResponse {
            model: job.version(),
            images: age::aged(&job, &face, request.ages).await?,
            novelty: novelty.score,
            novelty_limit: novelty.limit as f32,
            licence: job.licence(),
        }))
    }
}
