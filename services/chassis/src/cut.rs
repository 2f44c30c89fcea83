//! A response body that something else may end: a deadline, a shutdown.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;

pin_project! {
    /// Passes `inner` on until `cut` resolves, then drops it and ends with that status as trailers.
    ///
    /// A body is polled only while its peer takes data, so a peer that has stopped reading notices the
    /// cut when it reads again; what must be freed at a deadline regardless has to watch it itself.
    pub(crate) struct CutBody<C> {
        inner: Option<Body>,
        #[pin]
        cut: C,
    }
}

impl<C> CutBody<C>
where
    C: Future<Output = Status> + Send + 'static,
{
    /// Wraps the body of a response, whose head has been decided already.
    pub(crate) fn wrap(response: crate::Response, cut: C) -> crate::Response {
        response.map(|inner| Body::new(Self { inner: Some(inner), cut }))
    }
}

impl<C: Future<Output = Status>> HttpBody for CutBody<C> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(None) };
        // First the cut: a stream that always has data would never get to it otherwise.
        if let Poll::Ready(status) = this.cut.poll(cx) {
            *this.inner = None;
            return Poll::Ready(Some(Ok(trailers(&status))));
        }
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        // The cut must not be polled again after the end.
        if frame.as_ref().is_none_or(|frame| frame.as_ref().map_or(true, Frame::is_trailers)) {
            *this.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The status as the last frame of a body.
pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Only metadata that is no header can bring us here, and our statuses carry none of the kind.
        headers.insert("grpc-status", http::HeaderValue::from(status.code() as i32));
    }
    Frame::trailers(headers)
}
