//! A service that is there before its models are.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use atelier_chassis::{Request, Response, ResponseFuture, ServiceError};
use tonic::server::NamedService;

/// Answers UNAVAILABLE until it is given the real service: so a server listens, and tells of its health,
/// while its models are being loaded. Clones share the service.
#[derive(Debug)]
pub(super) struct Late<S> {
    inner: Arc<OnceLock<S>>,
}

impl<S> Late<S> {
    /// Nothing is there yet.
    pub(super) fn new() -> Self {
        Self { inner: Arc::new(OnceLock::new()) }
    }

    /// Gives it the real service. The first one stays.
    pub(super) fn set(&self, service: S) {
        let _ = self.inner.set(service);
    }
}

// Derived, it would ask for `S: Clone`.
impl<S> Clone for Late<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: NamedService> NamedService for Late<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> tower::Service<Request> for Late<S>
where
    S: tower::Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        match self.inner.get().cloned() {
            Some(service) => Box::pin(tower::ServiceExt::oneshot(service, request)),
            None => {
                let loading = ServiceError::unavailable("the models are being loaded").into_response();
                Box::pin(std::future::ready(Ok(loading)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn calls_are_unavailable_until_the_service_is_there() {
        let late = Late::new();
        let clone = late.clone();
        let answer = async |late: &Late<_>| late.clone().oneshot(Request::default()).await.unwrap();
        let make = || service_fn(async |_: Request| Ok::<_, Infallible>(Response::default()));
        let service = tower::util::BoxCloneSyncService::new(make());
        let status = Status::from_header_map(answer(&late).await.headers()).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        clone.set(service);
        assert!(Status::from_header_map(answer(&late).await.headers()).is_none());
    }
}
