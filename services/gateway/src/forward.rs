//! Forwards a request to the role that owns its service, without decoding it.

mod body;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use atelier_chassis::telemetry::propagation;
use atelier_chassis::{Deadline, Request, Response, ResponseFuture, ServiceError};
use http::{Extensions, Version};
use tonic::Code;
use tower::Service;

use crate::backend::Backend;
use crate::inference::{Fate, Inference, SERVICE_NAME};
use crate::tally::Forwarded;
use crate::upstream::service_of;

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
    match forwarded.backend().upstream.send(request).await {
        Ok((response, visit)) => body::Watched::wrap(response, forwarded, visit),
        Err(error) => {
            if error.code() == Code::Unavailable {
                forwarded.backend().tally.unreachable();
            }
            error.into_response()
        }
    }
}

/// Makes of a request that we received the one that we send.
fn prepare(request: &mut Request) {
    let deadline = Deadline::from_extensions(request.extensions());
    // What is there concerns our side of the door, such as the peer's address; but the deadline goes with the call.
    *request.extensions_mut() = Extensions::new();
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(deadline);
    }
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(http::header::HOST);
    propagation::inject(headers);
}
