//! A bound on the size of a message, enforced on its length prefix before a byte of it is read.
//!
//! Tonic has such a limit in each generated service, answered with OUT_OF_RANGE; here it is one for the
//! process, answered as the error table says, and it holds for what is forwarded without decoding.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;

use crate::{Inner, Request, ResponseFuture, ServiceError};

/// Adds [`LimitMessages`].
#[derive(Debug, Clone, Copy)]
pub struct MessageLimitLayer {
    max_bytes: usize,
}

impl MessageLimitLayer {
    /// At most `max_bytes` in each message of a request, as it is on the wire (compressed, if it is).
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes }
    }
}

impl<S> tower::Layer<S> for MessageLimitLayer {
    type Service = LimitMessages<S>;

    fn layer(&self, inner: S) -> LimitMessages<S> {
        LimitMessages { inner, max_bytes: self.max_bytes }
    }
}

/// Answers a request with a message over the limit with INVALID_ARGUMENT, whatever the handler does.
#[derive(Debug, Clone)]
pub struct LimitMessages<S> {
    inner: S,
    max_bytes: usize,
}

impl<S: Inner> tower::Service<Request> for LimitMessages<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let (over, mut too_large) = oneshot::channel();
        let scanner = Scanner::new(self.max_bytes);
        let request =
            request.map(|inner| Body::new(LimitedBody { inner: Some(inner), scanner, over: Some(over) }));
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::pin!(answer);
            let answer = tokio::select! {
                biased;
                Ok(error) = &mut too_large => return Ok(ServiceError::into_response(error)),
                answer = &mut answer => answer,
            };
            // A handler may have seen the end of its request and answered in one go.
            too_large.try_recv().map_or(answer, |error| Ok(error.into_response()))
        })
    }
}

impl<S: NamedService> NamedService for LimitMessages<S> {
    const NAME: &'static str = S::NAME;
}

struct LimitedBody {
    inner: Option<Body>,
    scanner: Scanner,
    over: Option<oneshot::Sender<ServiceError>>,
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        let Some(length) = data.cloned().and_then(|data| self.scanner.scan(&data)) else {
            return Poll::Ready(frame);
        };
        let error = ServiceError::invalid(
            "message",
            format!("has {length} bytes, must have {} at most", self.scanner.max_bytes),
        );
        self.inner = None;
        if let Some(over) = self.over.take() {
            // The receiver is gone when the answer has begun already; the error below ends it then.
            let _ = over.send(error.clone());
        }
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// Follows gRPC's framing (a flag byte, four bytes of length, the message) across chunks of any size.
struct Scanner {
    max_bytes: usize,
    prefix: [u8; 5],
    filled: usize,
    message_left: usize,
}

impl Scanner {
    fn new(max_bytes: usize) -> Self {
        Self { max_bytes, prefix: [0; 5], filled: 0, message_left: 0 }
    }

    /// Reads one chunk; returns the length of the first message that is over the limit.
    fn scan(&mut self, mut chunk: &[u8]) -> Option<usize> {
        while !chunk.is_empty() {
            if self.message_left > 0 {
                let skipped = self.message_left.min(chunk.len());
                self.message_left -= skipped;
                chunk = chunk.get(skipped..).unwrap_or_default();
                continue;
            }
            let (byte, rest) = chunk.split_first()?;
            if let Some(place) = self.prefix.get_mut(self.filled) {
                *place = *byte;
            }
            self.filled += 1;
            chunk = rest;
            if self.filled == self.prefix.len() {
                let [_flag, a, b, c, d] = self.prefix;
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if length > self.max_bytes {
                    return Some(length);
                }
                self.filled = 0;
                self.message_left = length;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_handler_that_ignores_the_error_does_not_hide_it() {
        let careless = service_fn(|request: Request| async {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(crate::Response::default())
        });
        for (length, refused) in [(10, false), (11, true)] {
            let request = Request::new(Body::new(Full::from(message(length))));
            let response = MessageLimitLayer::new(10).layer(careless).oneshot(request).await.unwrap();
            assert_eq!(Status::from_header_map(response.headers()).is_some(), refused, "{length} bytes");
        }
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.extend(vec![0xff; length]);
        bytes
    }

    #[test]
    fn the_first_message_over_the_limit_is_found_however_the_bytes_are_cut() {
        let stream = [message(0), message(10), message(3), message(11), message(2)].concat();
        for size in 1..stream.len() {
            let mut scanner = Scanner::new(10);
            let found = stream.chunks(size).find_map(|chunk| scanner.scan(chunk));
            assert_eq!(found, Some(11), "in chunks of {size}");
        }
    }

    #[test]
    fn messages_within_the_limit_pass() {
        let stream = [message(10), message(0), message(9)].concat();
        assert_eq!(Scanner::new(10).scan(&stream), None);
    }

    #[test]
    fn the_length_alone_is_enough_to_refuse() {
        assert_eq!(Scanner::new(1 << 24).scan(&[0, 0xff, 0xff, 0xff, 0xff]), Some(u32::MAX as usize));
    }
}
