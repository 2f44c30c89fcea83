//! Deadlines: parsed once, given to the handler as an instant, and enforced.
//!
//! Tonic answers an expired `grpc-timeout` with CANCELLED and lets a stream's body run on past it; here
//! both the answer and the body end with DEADLINE_EXCEEDED.

mod timeout;

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

use crate::cut::CutBody;
use crate::{Inner, Request, ResponseFuture, ServiceError};

pub use timeout::{GRPC_TIMEOUT, format_timeout, parse_timeout};

/// When a request's answer is no longer of use to its caller. The chassis puts it among the extensions
/// of each request that came with a `grpc-timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline this long from now; `None` where that is too far off for the clock.
    pub fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline of a request; `None` where its caller set none.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }

    /// The deadline among a request's extensions.
    pub fn from_extensions(extensions: &http::Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// The instant, for code that knows no tokio.
    pub fn instant(self) -> std::time::Instant {
        self.0.into_std()
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Resolves when the deadline passes.
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0).await;
    }
}

/// Adds [`Deadlines`].
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadlineLayer;

impl<S> tower::Layer<S> for DeadlineLayer {
    type Service = Deadlines<S>;

    fn layer(&self, inner: S) -> Deadlines<S> {
        Deadlines { inner }
    }
}

/// Gives the handler its [`Deadline`] and answers for it when the deadline passes. A malformed
/// `grpc-timeout` is INVALID_ARGUMENT.
#[derive(Debug, Clone)]
pub struct Deadlines<S> {
    inner: S,
}

impl<S: Inner> tower::Service<Request> for Deadlines<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> ResponseFuture {
        let deadline = match deadline(request.headers()) {
            Ok(deadline) => deadline,
            Err(error) => return Box::pin(std::future::ready(Ok(error.into_response()))),
        };
        let Some(deadline) = deadline else { return Box::pin(self.inner.call(request)) };
        request.extensions_mut().insert(deadline);
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::select! {
                biased;
                () = deadline.passed() => Ok(ServiceError::deadline_passed().into_response()),
                answer = answer => Ok(CutBody::wrap(answer?, async move {
                    deadline.passed().await;
                    Status::from(ServiceError::deadline_passed())
                })),
            }
        })
    }
}

fn deadline(headers: &HeaderMap) -> Result<Option<Deadline>, ServiceError> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ServiceError::invalid(GRPC_TIMEOUT, "is given more than once"));
    }
    let timeout = parse_timeout(value.as_bytes()).ok_or_else(|| {
        ServiceError::invalid(
            GRPC_TIMEOUT,
            format!("is {value:?}, must be 1 to 8 digits and one of H, M, S, m, u, n, as in \"250m\""),
        )
    })?;
    Ok(Deadline::after(timeout))
}

#[cfg(test)]
mod tests;
