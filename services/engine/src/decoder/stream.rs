//! One stream as its client sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::Shared;
use crate::EngineError;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The chunks of a stream. Dropping it ends the stream and frees its slot.
pub struct Stream<T> {
    chunks: mpsc::Receiver<T>,
    end: Option<oneshot::Receiver<Result<(), EngineError>>>,
    parked: Arc<AtomicBool>,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
}

impl<T> Stream<T> {
    pub(super) fn new(
        chunks: mpsc::Receiver<T>,
        end: oneshot::Receiver<Result<(), EngineError>>,
        parked: Arc<AtomicBool>,
        deadline: Option<Instant>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { chunks, end: Some(end), parked, deadline, timer: None, shared }
    }

    /// The next chunk; `None` after the last. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<T, EngineError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, EngineError>>> {
        let Some(end) = self.end.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(chunk) = self.chunks.poll_recv(cx) {
            if let Some(chunk) = chunk {
                if self.parked.swap(false, Ordering::SeqCst) {
                    self.shared.wake();
                }
                return Poll::Ready(Some(Ok(chunk)));
            }
            let end = ready!(Pin::new(end).poll(cx));
            self.end = None;
            let gone = || EngineError::Runtime("the worker went away without an answer".into());
            return Poll::Ready(match end.map_err(|_| gone()).and_then(|e| e) {
                Ok(()) => None,
                Err(e) => Some(Err(e)),
            });
        }
        // Also while the stream waits for a slot, or is parked: the worker may be asleep or busy then.
        if let Some(deadline) = self.deadline {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
            ready!(timer.as_mut().poll(cx));
            self.end = None;
            self.chunks.close();
            self.shared.left();
            return Poll::Ready(Some(Err(EngineError::DeadlineExceeded)));
        }
        Poll::Pending
    }
}

impl<T> futures_util::Stream for Stream<T> {
    type Item = Result<T, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        self.chunks.close();
        // At its end there is nothing to free.
        if self.end.is_some() {
            self.shared.left();
        }
    }
}
