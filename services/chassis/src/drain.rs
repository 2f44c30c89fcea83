//! What a shutdown means to the requests that are under way.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::cut::CutBody;
use crate::guarded::GuardedBody;
use crate::{Inner, Request, ResponseFuture, ServiceError};

/// The stages of a shutdown, seen by requests and connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    draining: CancellationToken,
    cut: CancellationToken,
    requests: TaskTracker,
    stopping: Arc<OnceLock<SystemTime>>,
    were_cut: Arc<AtomicUsize>,
}

impl Drain {
    /// Nothing is draining yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the server was told to stop.
    pub(crate) fn stopping(&self) {
        let _ = self.stopping.set(SystemTime::now());
    }

    /// When the server was told to stop; `None` where it was not.
    pub fn stopping_since(&self) -> Option<SystemTime> {
        self.stopping.get().copied()
    }

    /// How many calls were under way when the drain was [cut](Self::cut) short.
    pub fn were_cut(&self) -> usize {
        self.were_cut.load(Ordering::Relaxed)
    }

    /// Ends the calls that last as long as their client likes (health watches, reflection): they would
    /// hold up the drain to its bound.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Ends every call that is still under way, with UNAVAILABLE.
    pub fn cut(&self) {
        self.were_cut.fetch_add(self.in_flight(), Ordering::Relaxed);
        self.draining.cancel();
        self.cut.cancel();
    }

    /// How many calls are under way, streams included until their end.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    fn is_watch(path: &str) -> bool {
        path.starts_with(crate::health::PATH_PREFIX) || path.starts_with(crate::reflection::PATH_PREFIX)
    }
}

impl<S> tower::Layer<S> for Drain {
    type Service = Draining<S>;

    fn layer(&self, inner: S) -> Draining<S> {
        Draining { inner, drain: self.clone() }
    }
}

/// Counts the calls under way and ends them where the [`Drain`] says so.
#[derive(Debug, Clone)]
pub struct Draining<S> {
    inner: S,
    drain: Drain,
}

impl<S: Inner> tower::Service<Request> for Draining<S> {
    type Response = crate::Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let watch = Drain::is_watch(request.uri().path());
        let end = if watch { &self.drain.draining } else { &self.drain.cut }.clone();
        let counted = self.drain.requests.token();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                answer = answer => answer?,
                () = end.cancelled() => return Ok(shutting_down().into_response()),
            };
            let response = CutBody::wrap(response, async move {
                end.cancelled_owned().await;
                Status::from(shutting_down())
            });
            Ok(GuardedBody::wrap(response, counted))
        })
    }
}

fn shutting_down() -> ServiceError {
    ServiceError::unavailable("the server is shutting down")
}
