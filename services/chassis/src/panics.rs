//! A panic in a handler is an answer, not a broken connection.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::{Inner, Request, ResponseFuture, ServiceError};

/// Adds [`CatchPanics`].
#[derive(Debug, Clone, Copy, Default)]
pub struct CatchPanicsLayer;

impl<S> tower::Layer<S> for CatchPanicsLayer {
    type Service = CatchPanics<S>;

    fn layer(&self, inner: S) -> CatchPanics<S> {
        CatchPanics { inner }
    }
}

/// Answers INTERNAL where the handler, or the stream that it returned, panics.
#[derive(Debug, Clone)]
pub struct CatchPanics<S> {
    inner: S,
}

impl<S: Inner> tower::Service<Request> for CatchPanics<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        // A handler that panicked is not called again with what it left behind: each request has its
        // own clone of the service, and what they share has to be sound across panics by itself (mutexes
        // poison). Hence the assertions of unwind safety here and below.
        let answer = match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
            Ok(answer) => answer,
            Err(panic) => return Box::pin(std::future::ready(Ok(error(&*panic).into_response()))),
        };
        Box::pin(async move {
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(answer) => Ok(answer?.map(|inner| Body::new(CatchBody { inner: Some(inner) }))),
                Err(panic) => Ok(error(&*panic).into_response()),
            }
        })
    }
}

struct CatchBody {
    inner: Option<Body>,
}

impl HttpBody for CatchBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) {
            Ok(frame) => frame,
            Err(panic) => {
                self.inner = None;
                Poll::Ready(Some(Ok(crate::cut::trailers(&error(&*panic).into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

fn error(panic: &(dyn Any + Send)) -> ServiceError {
    let message = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    ServiceError::internal(format!("a handler panicked: {message}"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_internal_and_does_not_leak_its_message() {
        async fn handler(_: Request) -> Result<crate::Response, Infallible> {
            panic!("the password is swordfish")
        }
        let response = CatchPanicsLayer.layer(service_fn(handler)).oneshot(Request::default()).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::Internal);
        assert!(!status.message().contains("swordfish"), "{}", status.message());
    }

    #[tokio::test]
    async fn a_panic_in_a_stream_ends_it_with_internal_after_what_was_sent() {
        async fn handler(_: Request) -> Result<crate::Response, Infallible> {
            let frames = futures_util::stream::iter([1, 2]).map(|n| match n {
                1 => Ok::<_, Status>(Frame::data(Bytes::from_static(b"one"))),
                _ => panic!("two"),
            });
            Ok(crate::Response::new(Body::new(http_body_util::StreamBody::new(frames))))
        }
        use futures_util::StreamExt;
        let response = CatchPanicsLayer.layer(service_fn(handler)).oneshot(Request::default()).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let status = Status::from_header_map(collected.trailers().unwrap()).unwrap();
        assert_eq!(status.code(), tonic::Code::Internal);
        assert_eq!(collected.to_bytes(), "one");
    }
}
