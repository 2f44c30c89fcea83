//! The methods of `GRPCInferenceService`.

use std::sync::{Arc, OnceLock};

use atelier_chassis::{Deadline, ServiceError};
use atelier_engine::Engine;
use atelier_package::Kind;
use atelier_proto::inference as api;
use atelier_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::catalog::Catalog;
use crate::request::Job;
use crate::{answer, describe, index, parameters, stream};

/// `GRPCInferenceService` over the models of a role, which may come later. Clones share them.
#[derive(Debug, Clone)]
pub struct Tensors {
    kinds: &'static [Kind],
    catalog: Arc<OnceLock<Catalog>>,
}

impl Tensors {
    /// For the models of these kinds, once they are [there](Self::set).
    pub fn new(kinds: &'static [Kind]) -> Self {
        Self { kinds, catalog: Arc::default() }
    }

    /// Serves the models that `engine` has loaded. The first engine stays.
    pub fn set(&self, engine: Engine) {
        let _ = self.catalog.set(Catalog::new(engine, self.kinds));
    }

    fn catalog(&self) -> Result<&Catalog, ServiceError> {
        self.catalog.get().ok_or_else(|| ServiceError::unavailable("the models are being loaded"))
    }

    /// Runs a model once.
    pub(crate) async fn infer(
        &self,
        request: api::ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<api::ModelInferResponse, ServiceError> {
        let target = self.catalog()?.find("model_name", &request.model_name, &request.model_version)?;
        let handle = target.handle()?;
        let terms = parameters::terms(&request.parameters, deadline)?;
        let id = request.id.clone();
        let Job { inputs, outputs, raw } = Job::new(handle.spec(), request)?;
        let given = handle.run_on(inputs, terms).await.map_err(in_inputs)?;
        answer::response(&target, handle.spec(), id, given, &outputs, raw)
    }
}

/// What the engine finds wrong with a tensor, by its path in the request.
fn in_inputs(error: atelier_engine::EngineError) -> ServiceError {
    match ServiceError::from(error) {
        ServiceError::Invalid { field, message } => ServiceError::invalid(format!("inputs.{field}"), message),
        other => other,
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl GrpcInferenceService for Tensors {
    async fn server_live(&self, _: Request<api::ServerLiveRequest>) -> Answer<api::ServerLiveResponse> {
        Ok(Response::new(api::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<api::ServerReadyRequest>) -> Answer<api::ServerReadyResponse> {
        let ready = |catalog: &Catalog| catalog.targets().iter().any(index::ready);
        Ok(Response::new(api::ServerReadyResponse { ready: self.catalog.get().is_some_and(ready) }))
    }

    async fn model_ready(&self, request: Request<api::ModelReadyRequest>) -> Answer<api::ModelReadyResponse> {
        let api::ModelReadyRequest { name, version } = request.into_inner();
        let ready = match self.catalog.get().map(|catalog| catalog.find("name", &name, &version)) {
            Some(Ok(target)) => index::ready(&target),
            // A name that could be none is a mistake; one that is not there is an answer.
            Some(Err(error @ ServiceError::Invalid { .. })) => return Err(error.into()),
            Some(Err(_)) | None => false,
        };
        Ok(Response::new(api::ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<api::ServerMetadataRequest>,
    ) -> Answer<api::ServerMetadataResponse> {
        let plan = self.catalog.get().map(|catalog| catalog.engine.plan());
        Ok(Response::new(describe::server(plan.as_ref())))
    }

    async fn model_metadata(
        &self,
        request: Request<api::ModelMetadataRequest>,
    ) -> Answer<api::ModelMetadataResponse> {
        let api::ModelMetadataRequest { name, version } = request.into_inner();
        let catalog = self.catalog()?;
        let target = catalog.find("name", &name, &version)?;
        Ok(Response::new(describe::metadata(&target, &catalog.versions("name", &name)?)?))
    }

    async fn model_infer(&self, request: Request<api::ModelInferRequest>) -> Answer<api::ModelInferResponse> {
        let deadline = Deadline::of(&request);
        Ok(Response::new(self.infer(request.into_inner(), deadline).await?))
    }

    type ModelStreamInferStream = BoxStream<'static, Result<api::ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<api::ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let deadline = Deadline::of(&request);
        Ok(Response::new(stream::answers(self.clone(), request.into_inner(), deadline)))
    }

    async fn model_config(
        &self,
        request: Request<api::ModelConfigRequest>,
    ) -> Answer<api::ModelConfigResponse> {
        let api::ModelConfigRequest { name, version } = request.into_inner();
        let target = self.catalog()?.find("name", &name, &version)?;
        Ok(Response::new(api::ModelConfigResponse { config: Some(describe::config(&target)?) }))
    }

    async fn model_statistics(
        &self,
        request: Request<api::ModelStatisticsRequest>,
    ) -> Answer<api::ModelStatisticsResponse> {
        let api::ModelStatisticsRequest { name, version } = request.into_inner();
        Ok(Response::new(index::statistics(self.catalog()?, &name, &version)?))
    }

    async fn repository_index(
        &self,
        request: Request<api::RepositoryIndexRequest>,
    ) -> Answer<api::RepositoryIndexResponse> {
        Ok(Response::new(index::repository(self.catalog()?, request.into_inner().ready)))
    }

    async fn repository_model_load(
        &self,
        _: Request<api::RepositoryModelLoadRequest>,
    ) -> Answer<api::RepositoryModelLoadResponse> {
        Err(fixed().into())
    }

    async fn repository_model_unload(
        &self,
        _: Request<api::RepositoryModelUnloadRequest>,
    ) -> Answer<api::RepositoryModelUnloadResponse> {
        Err(fixed().into())
    }
}

/// Why nothing is loaded or unloaded on request: the directory alone decides, so that all processes over it serve the
/// same and come back from a restart as they were. Triton refuses both just so where it polls its repository
/// (`--model-control-mode=poll`).
fn fixed() -> ServiceError {
    ServiceError::unimplemented(
        "models are not loaded or unloaded on request: put the package into the directory of --models, as \
         NAME/VERSION, or take it out of there; it is looked at every engine.reload_seconds (0: at the start alone)",
    )
}
