//! The answer of a role, which may break off.

use std::pin::Pin;
use std::task::{Context, Poll};

use atelier_chassis::{Response, ServiceError};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::tally::Forwarded;
use crate::upstream::Visit;

/// Passes a role's answer on as it is. Where it breaks off, because the role was killed or the network
/// went, the caller is told so with UNAVAILABLE in place of a reset stream that says nothing.
pub(super) struct Watched {
    inner: Option<Body>,
    forwarded: Forwarded,
    _visit: Visit,
}

impl Watched {
    pub(super) fn wrap(response: Response, forwarded: Forwarded, visit: Visit) -> Response {
        // An answer of headers alone has its status there, and no body that could break off.
        if response.headers().contains_key("grpc-status") {
            return response;
        }
        response.map(|inner| Body::new(Self { inner: Some(inner), forwarded, _visit: visit }))
    }

    fn broke_off(&self, error: &str) -> Frame<Bytes> {
        let backend = self.forwarded.backend();
        let role = &backend.role;
        backend.tally.broke_off();
        tracing::warn!(role, error, "an answer broke off");
        let status =
            Status::from(ServiceError::unavailable(format!("the connection to the {role} role was lost")));
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", http::HeaderValue::from(status.code() as i32));
        }
        Frame::trailers(trailers)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = match std::task::ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            Some(Ok(trailers)) => trailers,
            Some(Err(error)) => self.broke_off(error.message()),
            None => self.broke_off("ended without a status"),
        };
        self.inner = None;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        // Never by itself: an end without trailers is what is being watched for.
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
