//! Forwards a request to the role that owns its service, without decoding it.

mod body;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use atelier_chassis::deadline::{GRPC_TIMEOUT, format_timeout};
use atelier_chassis::telemetry::propagation;
use atelier_chassis::{Deadline, Request, Response, ResponseFuture, ServiceError};
use http::{Extensions, HeaderValue, Version};
use tonic::TimeoutExpired;
use tower::{Service, ServiceExt};

use crate::backend::Backend;
use crate::inference::{Fate, Inference, SERVICE_NAME};
use crate::tally::Forwarded;

/// Goes by the service's name in the path, `/package.Service/Method`.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    owners: Arc<HashMap<String, Arc<Backend>>>,
    inference: Inference,
}

impl Forward {
    pub(crate) fn new(backends: &[Arc<Backend>], inference: Inference) -> Self {
        let owners = backends.iter().flat_map(|backend| {
            backend.services.iter().map(|service| (service.clone(), Arc::clone(backend)))
        });
        Self { owners: Arc::new(owners.collect()), inference }
    }

    fn owner(&self, path: &str) -> Result<Arc<Backend>, ServiceError> {
        service_of(path).and_then(|service| self.owners.get(service)).cloned().ok_or_else(|| {
            let mut known: Vec<&str> = self.owners.keys().map(String::as_str).collect();
            known.push(SERVICE_NAME);
            known.sort_unstable();
            let services = known.join(", ");
            ServiceError::unimplemented(format!("no role serves {path}; the fleet's services: {services}"))
        })
    }
}

impl Service<Request> for Forward {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Which channel has to be ready is known with the request only.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        if service_of(request.uri().path()) == Some(SERVICE_NAME) {
            let inference = self.inference.clone();
            return Box::pin(async move {
                Ok(match inference.take(request).await {
                    Fate::Answered(response) => response,
                    Fate::Routed(request, backend) => forward(request, backend).await,
                })
            });
        }
        let backend = match self.owner(request.uri().path()) {
            Ok(backend) => backend,
            Err(error) => return Box::pin(std::future::ready(Ok(error.into_response()))),
        };
        Box::pin(async move { Ok(forward(request, backend).await) })
    }
}

/// Sends a request to a role; its answer, or that there is none.
async fn forward(mut request: Request, backend: Arc<Backend>) -> Response {
    prepare(&mut request);
    let forwarded = Forwarded::begin(backend);
    match forwarded.backend().channel.clone().oneshot(request).await {
        Ok(response) => body::Watched::wrap(response, forwarded),
        Err(error) => failed(forwarded.backend(), &error).into_response(),
    }
}

/// The name of the service in a gRPC path.
fn service_of(path: &str) -> Option<&str> {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service)
}

/// Makes of a request that we received the one that we send.
fn prepare(request: &mut Request) {
    let deadline = Deadline::from_extensions(request.extensions());
    // What is there concerns our side of the door: the peer's address, the deadline as an instant.
    *request.extensions_mut() = Extensions::new();
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(http::header::HOST);
    if let Some(deadline) = deadline {
        // Less what was used here.
        if let Ok(timeout) = HeaderValue::try_from(format_timeout(deadline.remaining())) {
            headers.insert(GRPC_TIMEOUT, timeout);
        }
    }
    propagation::inject(headers);
}

/// Why a role gave no answer at all.
fn failed(backend: &Backend, error: &tonic::transport::Error) -> ServiceError {
    if chain(error).any(<dyn Error>::is::<TimeoutExpired>) {
        // The channel watches the header too, and may be the first to see it pass.
        return ServiceError::deadline_passed();
    }
    let error = chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    tracing::warn!(role = backend.role, error, "cannot forward");
    backend.tally.unreachable();
    ServiceError::unavailable(format!("the {} role cannot be reached", backend.role))
}

/// An error and what is behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
