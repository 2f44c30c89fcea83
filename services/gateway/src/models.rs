//! The models of the whole fleet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use atelier_chassis::{RequestId, ServiceError};
use atelier_proto::models::v1::model_service_client::ModelServiceClient;
use atelier_proto::models::v1::model_service_server::ModelService;
use atelier_proto::models::v1::{
    GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, Model,
};
use futures_util::future::join_all;
use tonic::{Code, Request, Response, Status};

use crate::backend::Backend;

/// How long a role may take to list its models.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers from what every role says of its own.
#[derive(Debug)]
pub(crate) struct FleetModels {
    backends: Vec<Arc<Backend>>,
}

impl FleetModels {
    pub(crate) fn new(backends: Vec<Arc<Backend>>) -> Self {
        Self { backends }
    }

    /// The models of every role that answers, sorted. An error where none does.
    async fn gather<T>(&self, request: &Request<T>) -> Result<Fleet, ServiceError> {
        let answers = join_all(self.backends.iter().map(|backend| async move {
            let answer = tokio::time::timeout(PATIENCE, list(backend, forwarded(request))).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("took too long")));
            answer.inspect_err(|status| {
                tracing::warn!(role = backend.role, code = ?status.code(), error = status.message(), "a role does not list its models");
            })
        }))
        .await;
        let silent: Vec<&str> = self
            .backends
            .iter()
            .zip(&answers)
            .filter(|(_, a)| a.is_err())
            .map(|(b, _)| b.role.as_str())
            .collect();
        if silent.len() == self.backends.len() {
            return Err(ServiceError::unavailable(match silent.as_slice() {
                [] => "the gateway has no roles".to_owned(),
                silent => format!("no role can be reached: {}", silent.join(", ")),
            }));
        }
        let complete = silent.is_empty();
        let mut models: Vec<Model> = answers.into_iter().flatten().flatten().collect();
        models.sort_by(|a, b| (&a.role, &a.name, a.version).cmp(&(&b.role, &b.name, b.version)));
        Ok(Fleet { models, complete })
    }
}

struct Fleet {
    models: Vec<Model>,
    /// Whether every role has answered.
    complete: bool,
}

async fn list(backend: &Backend, request: Request<ListModelsRequest>) -> Result<Vec<Model>, Status> {
    let mut client = ModelServiceClient::new(backend.upstream.clone()).max_decoding_message_size(usize::MAX);
    match client.list_models(request).await {
        Ok(answer) => Ok(answer.into_inner().models),
        // A role that serves no models.
        Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
        Err(status) => Err(status),
    }
}

/// Asks for every model, under the caller's request id. The caller's deadline needs no passing on: when it
/// passes, the chassis drops our answer and these calls with it.
fn forwarded<T>(request: &Request<T>) -> Request<ListModelsRequest> {
    let mut forwarded = Request::new(ListModelsRequest::default());
    let id = request.extensions().get::<RequestId>();
    if let Some(id) = id.and_then(|id| id.as_str().parse().ok()) {
        forwarded.metadata_mut().insert("x-request-id", id);
    }
    forwarded
}

#[tonic::async_trait]
impl ModelService for FleetModels {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let mut models = self.gather(&request).await?.models;
        let ListModelsRequest { kind, role } = request.into_inner();
        let fits = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        models.retain(|model| fits(&kind, &model.kind) && fits(&role, &model.role));
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        if request.get_ref().name.is_empty() {
            return Err(ServiceError::invalid("name", "is empty, must name a model").into());
        }
        let fleet = self.gather(&request).await?;
        Ok(Response::new(GetModelResponse { model: Some(find(fleet, &request.into_inner())?) }))
    }
}

fn find(fleet: Fleet, wanted: &GetModelRequest) -> Result<Model, ServiceError> {
    let named = |model: &&Model| model.name == wanted.name;
    let fits = |model: &&Model| named(model) && (wanted.version == 0 || model.version == wanted.version);
    if let Some(model) = fleet.models.iter().filter(fits).max_by_key(|model| model.version) {
        return Ok(model.clone());
    }
    if !fleet.complete {
        let name = &wanted.name;
        return Err(ServiceError::unavailable(format!("a role that may serve {name:?} cannot be reached")));
    }
    let versions: Vec<String> =
        fleet.models.iter().filter(named).map(|model| model.version.to_string()).collect();
    if versions.is_empty() {
        let names: BTreeSet<String> = fleet.models.into_iter().map(|model| model.name).collect();
        return Err(ServiceError::not_found("model", &wanted.name, names));
    }
    Err(ServiceError::not_found("version", format!("{}/{}", wanted.name, wanted.version), versions))
}
