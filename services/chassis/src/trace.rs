//! Around everything: the request id, a span, and when the request is over its time and one log line.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::metrics::{Call, Meters};
use crate::request_id::REQUEST_ID;
use crate::telemetry::propagation;
use crate::{Inner, Request, RequestId, ResponseFuture};

/// The span of a health check, which is in no trace: they come every few seconds and say nothing.
pub(crate) const PROBE: &str = "probe";

/// Adds [`Trace`].
#[derive(Debug, Clone)]
pub struct TraceLayer {
    role: Arc<str>,
    meters: Arc<Meters>,
}

impl TraceLayer {
    /// Spans of this role.
    pub fn new(role: &str) -> Self {
        Self { role: role.into(), meters: Arc::new(Meters::new(role, Vec::new())) }
    }

    /// With these meters in place of some that nobody reads.
    #[must_use]
    pub fn meters(mut self, meters: Arc<Meters>) -> Self {
        self.meters = meters;
        self
    }
}

impl<S> tower::Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, role: Arc::clone(&self.role), meters: Arc::clone(&self.meters) }
    }
}

/// Gives each request its [`RequestId`] (header, extension, span field, response header) and a span that
/// its handler and its stream run in, and measures and logs its end on every way out.
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
    role: Arc<str>,
    meters: Arc<Meters>,
}

impl<S: Inner> tower::Service<Request> for Trace<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> ResponseFuture {
        let id = RequestId::from_headers(request.headers());
        request.headers_mut().insert(REQUEST_ID, id.header());
        request.extensions_mut().insert(id.clone());
        let path = request.uri().path();
        let quiet = path.starts_with(crate::health::PATH_PREFIX);
        let span = match quiet {
            true => tracing::debug_span!(PROBE, role = %self.role, method = %path, request_id = %id.as_str()),
            false => {
                tracing::info_span!("request", role = %self.role, method = %path, request_id = %id.as_str(), trace_id = Empty, key = Empty)
            }
        };
        propagation::set_parent(&span, request.headers());
        let mut end = End { span: span.clone(), call: self.meters.begin(path), quiet, code: None };

        let answer = span.in_scope(|| self.inner.call(request));
        let traced = async move {
            let mut response = answer.await?;
            response.headers_mut().insert(REQUEST_ID, id.header());
            end.code = code(response.headers());
            Ok(response.map(|inner| Body::new(TracedBody { inner, end })))
        };
        Box::pin(traced.instrument(span))
    }
}

struct TracedBody {
    inner: Body,
    end: End,
}

impl HttpBody for TracedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _entered = this.end.span.enter();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.end.code = code(trailers);
                }
            }
            Some(Err(status)) => this.end.code = Some(status.code()),
            // A stream that ends without a status breaks the protocol.
            None => this.end.code = this.end.code.or(Some(Code::Unknown)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// Measures and logs the end of a request when it is dropped, so that no way out is missed.
struct End {
    span: Span,
    call: Call,
    /// Health checks come every few seconds and say nothing.
    quiet: bool,
    /// Unset until the end of the answer: what is dropped before was cancelled by its caller.
    code: Option<Code>,
}

impl Drop for End {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let elapsed_us = u64::try_from(self.call.ended(code).as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| {
            if self.quiet {
                tracing::debug!(?code, elapsed_us, "request finished");
            } else {
                tracing::info!(?code, elapsed_us, "request finished");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    async fn echo_id(request: Request) -> Result<crate::Response, Infallible> {
        let header = request.headers().get(REQUEST_ID).unwrap().to_str().unwrap().to_owned();
        assert_eq!(request.extensions().get::<RequestId>().unwrap().as_str(), header);
        Ok(http::Response::builder().header("seen", header).body(Body::empty()).unwrap())
    }

    #[tokio::test]
    async fn a_callers_id_reaches_the_handler_and_the_answer() {
        let request = http::Request::builder().header(REQUEST_ID, "abc-1").body(Body::empty()).unwrap();
        let response = TraceLayer::new("test").layer(service_fn(echo_id)).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["seen"], "abc-1");
        assert_eq!(response.headers()[REQUEST_ID], "abc-1");
    }

    #[tokio::test]
    async fn a_request_without_an_id_is_given_one() {
        let response =
            TraceLayer::new("test").layer(service_fn(echo_id)).oneshot(Request::default()).await.unwrap();
        assert_eq!(response.headers()[REQUEST_ID].len(), 32);
        assert_eq!(response.headers()["seen"], response.headers()[REQUEST_ID]);
    }
}
