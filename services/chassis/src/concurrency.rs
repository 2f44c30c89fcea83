//! A bound on the requests of a whole process.
//!
//! HTTP/2 bounds streams on each connection; a caller with many connections is bounded here. What a
//! model can take is the engine's own admission: this is the outer wall that protects memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::guarded::GuardedBody;
use crate::{Inner, Request, ResponseFuture, ServiceError};

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Adds [`LimitConcurrency`]. Clones share one limit.
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer {
    permits: Arc<Semaphore>,
    limit: usize,
}

impl ConcurrencyLayer {
    /// At most `limit` requests at once, streams included until their end.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(limit)), limit }
    }
}

impl<S> tower::Layer<S> for ConcurrencyLayer {
    type Service = LimitConcurrency<S>;

    fn layer(&self, inner: S) -> LimitConcurrency<S> {
        LimitConcurrency { inner, permits: Arc::clone(&self.permits), limit: self.limit }
    }
}

/// Refuses what is over the limit with RESOURCE_EXHAUSTED, at once. Health checks are not counted: a
/// busy server is a healthy one.
#[derive(Debug, Clone)]
pub struct LimitConcurrency<S> {
    inner: S,
    permits: Arc<Semaphore>,
    limit: usize,
}

impl<S: Inner> tower::Service<Request> for LimitConcurrency<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        if request.uri().path().starts_with(crate::health::PATH_PREFIX) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let error = ServiceError::busy(
                format!("{} requests are being served, the limit", self.limit),
                RETRY_AFTER,
            );
            return Box::pin(std::future::ready(Ok(error.into_response())));
        };
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(GuardedBody::wrap(answer.await?, permit)) })
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status, body::Body};
    use tower::{Layer, Service, ServiceExt, service_fn};

    use super::*;

    fn stream() -> Body {
        Body::new(http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<bytes::Bytes>, Status>,
        >()))
    }

    #[tokio::test]
    async fn a_stream_holds_its_place_until_it_is_dropped() {
        let handler = service_fn(|_: Request| async { Ok::<_, Infallible>(crate::Response::new(stream())) });
        let mut limited = ConcurrencyLayer::new(1).layer(handler);
        let first = limited.ready().await.unwrap().call(Request::default()).await.unwrap();
        assert!(Status::from_header_map(first.headers()).is_none());

        let refused = limited.ready().await.unwrap().call(Request::default()).await.unwrap();
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);

        let mut check = Request::default();
        *check.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
        let health = limited.ready().await.unwrap().call(check).await.unwrap();
        assert!(Status::from_header_map(health.headers()).is_none(), "a health check is not counted");

        drop(first);
        let again = limited.ready().await.unwrap().call(Request::default()).await.unwrap();
        assert!(Status::from_header_map(again.headers()).is_none());
    }
}
