//! A message that is no protobuf is the fault of who sent it.
//!
//! Tonic's generated services answer it with INTERNAL, which by the error table is a fault of ours and to be
//! looked for in our log.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::HeaderMap;
use tonic::{Code, Status};

use crate::{Inner, Request, ResponseFuture, ServiceError};

/// How prost begins what it says of such a message; tonic passes it on.
const PREFIX: &str = "failed to decode Protobuf message: ";

/// Adds [`Malformed`].
#[derive(Debug, Clone, Copy)]
pub struct MalformedLayer;

impl<S> tower::Layer<S> for MalformedLayer {
    type Service = Malformed<S>;

    fn layer(&self, inner: S) -> Malformed<S> {
        Malformed { inner }
    }
}

/// Answers a request whose message cannot be decoded with INVALID_ARGUMENT.
#[derive(Debug, Clone)]
pub struct Malformed<S> {
    inner: S,
}

impl<S: Inner> tower::Service<Request> for Malformed<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match malformed(response.headers()) {
                Some(error) => error.into_response(),
                None => response,
            })
        })
    }
}

/// The message is decoded before there is any answer: that it cannot be is said in the headers.
fn malformed(headers: &HeaderMap) -> Option<ServiceError> {
    let status = Status::from_header_map(headers).filter(|status| status.code() == Code::Internal)?;
    let reason = status.message().strip_prefix(PREFIX)?;
    Some(ServiceError::invalid("message", format!("is not one of this method: {reason}")))
}

#[cfg(test)]
mod tests {
    use tonic::body::Body;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    async fn answer(status: Status) -> Status {
        let inner = service_fn(move |_: Request| {
            let response = status.clone().into_http::<Body>();
            async { Ok::<_, Infallible>(response) }
        });
        let response = MalformedLayer.layer(inner).oneshot(Request::default()).await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_fault_of_our_own_stays_one() {
        let fault = answer(Status::internal("internal error; the server's log has it under id 7")).await;
        assert_eq!(fault.code(), Code::Internal);
        let other = answer(Status::not_found(format!("{PREFIX}as a name"))).await;
        assert_eq!(other.code(), Code::NotFound);
    }
}
