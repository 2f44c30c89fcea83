//! One stream as the worker sees it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::{Cursor, Shared, Step, Stream};
use crate::EngineError;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Whether a stream can take its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can.
    Go,
    /// Its client has yet to take what is there.
    Parked,
    /// Its deadline passed.
    Expired,
    /// Its client is gone.
    Gone,
}

impl Readiness {
    /// How a stream ends that is over.
    pub(crate) fn end(self) -> Option<EngineError> {
        match self {
            Self::Go | Self::Parked => None,
            Self::Expired => Some(EngineError::DeadlineExceeded),
            Self::Gone => Some(EngineError::Cancelled),
        }
    }
}

/// What a stream's next step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// With this token.
    Next(i64),
    /// With this token, and nothing remembered.
    Restart(i64),
    /// None: it is at its end.
    End,
}

/// A stream of any kind of chunk.
pub(crate) trait Lane: Send {
    /// The first token.
    fn first(&mut self) -> i64;
    /// Fills what the next step takes besides its token.
    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError>;
    /// Takes its logits.
    fn advance(&mut self, logits: &[f32]) -> Result<Onward, EngineError>;
    /// Whether it can go on. One that is parked says so to its client, who wakes the worker.
    fn readiness(&self, now: Instant) -> Readiness;
    /// When it must be over.
    fn deadline(&self) -> Option<Instant>;
    /// Tells the client how it ended.
    fn finish(self: Box<Self>, end: Result<(), EngineError>);
}

/// A stream with its cursor and the way to its client.
pub(crate) struct TypedLane<C: Cursor> {
    cursor: C,
    chunks: mpsc::Sender<C::Chunk>,
    end: oneshot::Sender<Result<(), EngineError>>,
    parked: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// In the caller's, so that the log says which request it was.
    span: tracing::Span,
    begun: Instant,
    steps: u64,
}

impl<C: Cursor> TypedLane<C> {
    pub(crate) fn new(
        cursor: C,
        buffer: usize,
        deadline: Option<Instant>,
        shared: Arc<Shared>,
    ) -> (Self, Stream<C::Chunk>) {
        let (chunks, received) = mpsc::channel(buffer.max(1));
        let (end, ended) = oneshot::channel();
        let parked = Arc::new(AtomicBool::new(false));
        // A span of a stream's own, not of each step: at the level of debug, so that it costs nothing where traces
        // are not exported. Where it is not, the caller's says which request it was.
        let caller = tracing::Span::current();
        let own = tracing::debug_span!("stream", graph = shared.setup.name, steps = tracing::field::Empty);
        let span = if own.is_disabled() { caller } else { own };
        let stream = Stream::new(received, ended, Arc::clone(&parked), deadline, shared);
        let begun = Instant::now();
        (Self { cursor, chunks, end, parked, deadline, span, begun, steps: 0 }, stream)
    }
}

impl<C: Cursor> TypedLane<C> {
    /// Whether its deadline has passed by now. Of a client that is gone: whether it was told so, whoever told it, be
    /// it while a step was under way.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl<C: Cursor> Lane for TypedLane<C> {
    fn first(&mut self) -> i64 {
        self.cursor.first()
    }

    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        self.cursor.fill(input, row)
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Onward, EngineError> {
        self.steps += 1;
        let (onward, emit) = match self.cursor.advance(logits)? {
            Step::Next { token, emit } => (Onward::Next(token), emit),
            Step::Restart { token, emit } => (Onward::Restart(token), emit),
            Step::Done { emit } => (Onward::End, emit),
        };
        if let Some(chunk) = emit {
            // There is room: only a lane that has some is let go on. What is left is a client that is gone.
            let gone =
                |_| if self.is_late() { EngineError::DeadlineExceeded } else { EngineError::Cancelled };
            self.chunks.try_send(chunk).map_err(gone)?;
        }
        Ok(onward)
    }

    fn readiness(&self, now: Instant) -> Readiness {
        // First: a client that was told of the deadline is gone too.
        if self.deadline.is_some_and(|d| d <= now) {
            return Readiness::Expired;
        }
        if self.chunks.is_closed() {
            return if self.is_late() { Readiness::Expired } else { Readiness::Gone };
        }
        if self.chunks.capacity() > 0 {
            return Readiness::Go;
        }
        self.parked.store(true, Ordering::SeqCst);
        // Looked at again after the flag is up: else a client that took a chunk in between would not know
        // that somebody waits for it to say so.
        if self.chunks.capacity() > 0 { Readiness::Go } else { Readiness::Parked }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn finish(self: Box<Self>, end: Result<(), EngineError>) {
        let (steps, elapsed) = (self.steps, self.begun.elapsed());
        self.span.record("steps", steps);
        self.span.in_scope(|| match &end {
            Ok(()) => tracing::debug!(steps, ?elapsed, "a stream came to its end"),
            Err(error) => tracing::debug!(steps, ?elapsed, %error, "a stream was ended"),
        });
        // Said before the channel of chunks closes, so that the client finds it when that is empty.
        let _ = self.end.send(end);
    }
}
