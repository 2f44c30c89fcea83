//! To the services that were added, or to the fallback.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::service::Routes;

use crate::{Request, Response, ResponseFuture, Service};

/// Goes by the service's name in the path, `/package.Service/Method`.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) own: Arc<BTreeSet<&'static str>>,
    pub(super) routes: Routes,
    pub(super) fallback: Service,
}

impl tower::Service<Request> for Dispatch {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        std::task::ready!(tower::Service::<Request>::poll_ready(&mut self.routes, cx))?;
        self.fallback.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let service = service_name(request.uri().path());
        if service.is_some_and(|service| self.own.contains(service)) {
            Box::pin(self.routes.call(request))
        } else {
            self.fallback.call(request)
        }
    }
}

/// The name of the service in a gRPC path.
pub(super) fn service_name(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split_once('/').map(|(service, _)| service)
}
