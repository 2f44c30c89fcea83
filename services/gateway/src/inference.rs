//! Raw tensors for the fleet: `inference.GRPCInferenceService`, which every role speaks for its own models.
//!
//! A request for a model goes to the role that has it. Which model that is stands in the first field of the
//! message, so the message is looked into that far and passed on as it came. What concerns the fleet as a whole is
//! asked of every role, or answered here.

mod catalog;
mod fleet;
mod peek;
mod raw;
mod replay;
mod stream;

use std::sync::Arc;

use atelier_chassis::{Health, Request, Response, ServiceError};
use atelier_proto::inference as api;
use prost::Message;
use tonic::Status;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::backend::Backend;
pub(crate) use atelier_proto::inference::grpc_inference_service_server::SERVICE_NAME;
pub(crate) use catalog::Catalog;
use fleet::Fleet;

/// The methods of the service.
#[derive(Debug, Clone)]
pub(crate) struct Inference {
    catalog: Arc<Catalog>,
    health: Health,
    max_message_bytes: usize,
}

/// What becomes of a request.
pub(crate) enum Fate {
    /// It was answered here.
    Answered(Response),
    /// A role is to answer it.
    Routed(Request, Arc<Backend>),
}

impl Inference {
    pub(crate) fn new(catalog: Arc<Catalog>, health: Health, max_message_bytes: usize) -> Self {
        Self { catalog, health, max_message_bytes }
    }

    /// Answers a request where the answer is not one role's, and else finds the role.
    pub(crate) async fn take(&self, request: Request) -> Fate {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        match self.fate(&method, request).await {
            Ok(fate) => fate,
            Err(error) => Fate::Answered(error.into_response()),
        }
    }

    async fn fate(&self, method: &str, request: Request) -> Result<Fate, ServiceError> {
        let fleet = Fleet::new(Arc::clone(&self.catalog));
        let answered = match method {
            "ServerLive" => {
                own(request, |_: api::ServerLiveRequest, _| async {
                    Ok(api::ServerLiveResponse { live: true })
                })
                .await
            }
            "ServerReady" => {
                let ready = self.health.is_serving(SERVICE_NAME) == Some(true);
                own(request, move |_: api::ServerReadyRequest, _| async move {
                    Ok(api::ServerReadyResponse { ready })
                })
                .await
            }
            "ServerMetadata" => own(request, move |r, m| fleet.clone().metadata(r, m)).await,
            "RepositoryIndex" => own(request, move |r, m| fleet.clone().index(r, m)).await,
            "ModelStreamInfer" => {
                stream::serve(Arc::clone(&self.catalog), self.max_message_bytes, request).await
            }
            "ModelStatistics" | "ModelReady" | "ModelMetadata" | "ModelConfig" | "ModelInfer" => {
                return self.for_model(method, fleet, request).await;
            }
            "RepositoryModelLoad" | "RepositoryModelUnload" => {
                let message = "models are not loaded or unloaded on request: every role serves what lies below its --models";
                return Err(ServiceError::unimplemented(message));
            }
            _ => {
                let message = format!("there is no such method of {SERVICE_NAME} here");
                return Err(ServiceError::unimplemented(message));
            }
        };
        Ok(Fate::Answered(answered))
    }

    async fn for_model(&self, method: &str, fleet: Fleet, request: Request) -> Result<Fate, ServiceError> {
        let (name, request) = replay::name(request).await?;
        if name.is_empty() && method == "ModelStatistics" {
            return Ok(Fate::Answered(own(request, move |r, m| fleet.clone().statistics(r, m)).await));
        }
        let field = if method == "ModelInfer" { "model_name" } else { "name" };
        match self.catalog.find(field, &name).await {
            Ok(backend) => Ok(Fate::Routed(request, backend)),
            // That there is no such model is an answer here.
            Err(ServiceError::NotFound { .. }) if method == "ModelReady" => {
                let answer =
                    |_: api::ModelReadyRequest, _| async { Ok(api::ModelReadyResponse { ready: false }) };
                Ok(Fate::Answered(own(request, answer).await))
            }
            Err(error) => Err(error),
        }
    }
}

/// Answers a unary call here, by its message and its headers.
async fn own<M, N, A, F>(request: Request, mut answer: A) -> Response
where
    M: Message + Default + Send + 'static,
    N: Message + Default + Send + 'static,
    A: FnMut(M, tonic::metadata::MetadataMap) -> F + Send,
    F: Future<Output = Result<N, Status>> + Send,
{
    let service = service_fn(move |request: tonic::Request<M>| {
        let (metadata, _, message) = request.into_parts();
        let answer = answer(message, metadata);
        async move { answer.await.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<N, M>::default()).unary(service, request).await
}
