//! Who may come in.
//!
//! What decides is the role's own (the gateway's API keys); when and around what it is asked is here: before
//! anything of a request is read, and for everything but health, which those ask that hold no credentials.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::{Inner, Request, ResponseFuture, ServiceError};

/// Lets requests in or turns them away.
pub trait Door: Send + Sync + 'static {
    /// Asked once for each request, streams included, at their start. Takes out of the request what must go no
    /// further, such as credentials.
    ///
    /// # Errors
    /// What the caller is told in place of an answer.
    fn admit(&self, request: &mut Request) -> Result<(), ServiceError>;
}

/// Adds [`Guarded`].
#[derive(Clone)]
pub(crate) struct DoorLayer(pub(crate) Option<Arc<dyn Door>>);

impl<S> tower::Layer<S> for DoorLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, door: self.0.clone() }
    }
}

/// Asks a [`Door`], where there is one.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    door: Option<Arc<dyn Door>>,
}

impl<S> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("door", &self.door.is_some()).finish_non_exhaustive()
    }
}

impl<S: Inner> tower::Service<Request> for Guarded<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> ResponseFuture {
        let asked = !request.uri().path().starts_with(crate::health::PATH_PREFIX);
        match self.door.as_ref().filter(|_| asked).map(|door| door.admit(&mut request)) {
            Some(Err(error)) => Box::pin(std::future::ready(Ok(error.into_response()))),
            Some(Ok(())) | None => Box::pin(self.inner.call(request)),
        }
    }
}
