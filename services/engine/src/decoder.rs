//! Continuous batching: many streams advance together through one step graph.
//!
//! Each stream has a slot that keeps what it remembers between steps: states, and the delay lines of dilated
//! convolutions, of which only the rows that come out and go in cross the graph. An iteration takes the slots
//! that can go on into one batch of the smallest size that holds them, runs the step graph, and gives each
//! stream its row of logits. Streams come and go at any step. What a stream does with its logits (read a
//! prompt, sample, score), and what it gives the graph besides its token, is its [`Cursor`]'s business.
//!
//! A stream whose client reads too slowly is parked in its slot until there is room again; the others go
//! on. A stream whose client is gone frees its slot before the next step.
//!
//! Where sessions of one thread do better side by side there are several workers, each with slots of its own. A stream
//! goes to the worker that has the fewest, and stays with it. Where they do so only for many streams, few are kept
//! together, and a worker that is alone has a session for them whose threads divide each step.

mod desks;
pub(crate) mod lane;
mod lines;
mod residence;
mod sessions;
pub(crate) mod shape;
pub(crate) mod slots;
mod stream;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_package::GraphSpec;

use crate::EngineError;
use crate::gauge::{Counter, Gauge, Held};
use crate::histogram::Histogram;
use crate::runtime::session::{Factory, Runner};
use crate::sizes::Sizes;
use crate::stats::{Activity, DecoderStats, Health, Line, Outcomes, Times, Work, Workers};
use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError, thread};
use crate::turnstile::Turnstile;
use desks::Desks;
use lane::{Lane, TypedLane};
use sessions::Sessions;
use shape::StepShape;
pub use stream::Stream;

/// What a stream does with its logits. Called on the decoder's thread: it must compute little and never wait. Dropped
/// when the stream is over, however it ends and whether or not its client has read it all.
pub trait Cursor: Send + 'static {
    /// What the stream's client gets: text, samples, scores.
    type Chunk: Send + 'static;

    /// The first token to go into the graph, with the state at 0.
    fn first(&mut self) -> i64;

    /// Fills the row of an input of the graph that is neither the token nor remembered (a condition) for the
    /// step that is next: after [`first`](Cursor::first), and after each [`advance`](Cursor::advance) that
    /// goes on. The row has what the step before left in it; in a stream's first step anything. An error ends
    /// this stream and no other; a stream for graphs that take nothing but tokens need not say anything.
    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        let message =
            format!("the graph takes {} numbers a step, which this stream does not give", row.len());
        Err(EngineError::invalid(input, message))
    }

    /// What to do after a step that gave `logits` for the token after the last one. An error ends this stream
    /// and no other.
    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError>;
}

/// How a stream goes on after a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// With another step.
    Next {
        /// The token that goes into the graph.
        token: i64,
        /// For the client, if there is something.
        emit: Option<T>,
    },
    /// With another step, as if it were its first: what it remembers is forgotten. So one stream can make
    /// several things, one after the other, each from its start.
    Restart {
        /// The token that goes into the graph.
        token: i64,
        /// For the client, if there is something.
        emit: Option<T>,
    },
    /// Not at all.
    Done {
        /// For the client, if there is something left.
        emit: Option<T>,
    },
}

/// What a decoder is made of.
pub(crate) struct Setup {
    /// `MODEL/VERSION/GRAPH`, for logs and threads.
    pub(crate) name: String,
    pub(crate) spec: Arc<GraphSpec>,
    pub(crate) shape: Arc<StepShape>,
    pub(crate) sizes: Sizes,
    /// In sum over all workers.
    pub(crate) slots: usize,
    pub(crate) waiting: usize,
    pub(crate) buffer: usize,
    /// Of each session.
    pub(crate) threads: usize,
    pub(crate) turnstile: Arc<Turnstile>,
    pub(crate) factory: Factory,
    /// What few streams are stepped with instead.
    pub(crate) divided: Option<Divided>,
}

/// A second session for each worker, whose threads divide a step: for the time that no other worker steps.
pub(crate) struct Divided {
    /// Up to so many streams it does better than sessions side by side.
    pub(crate) few: usize,
    pub(crate) threads: usize,
    pub(crate) factory: Factory,
}

/// A step graph that is being served. Cheap to clone.
#[derive(Clone)]
pub struct Decoder {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    setup: Setup,
    state: Mutex<State>,
    /// Something changed for the worker.
    work: Condvar,
    waiting: Gauge,
    slots_used: Gauge,
    counts: Counts,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Counts {
    finished: Counter,
    refused: Counter,
    expired: Counter,
    cancelled: Counter,
    failed: Counter,
    iterations: Counter,
    steps: Counter,
    padding: Counter,
    queue: Histogram,
    compute: Histogram,
    rows: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            finished: Counter::default(),
            refused: Counter::default(),
            expired: Counter::default(),
            cancelled: Counter::default(),
            failed: Counter::default(),
            iterations: Counter::default(),
            steps: Counter::default(),
            padding: Counter::default(),
            queue: Histogram::seconds(),
            compute: Histogram::seconds(),
            rows: Histogram::rows(),
        }
    }
}

/// A stream that has no slot yet.
struct Waiting {
    lane: Box<dyn Lane>,
    since: Instant,
    held: Held,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    desks: Desks,
    /// Workers that are there.
    begun: usize,
    draining: bool,
    stop: bool,
}

/// When to come again while all slots and places are taken: about the time of a short text.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Decoder {
    /// Starts a worker for each runner; with one of the `divided` too, where there are any.
    pub(crate) fn start(
        setup: Setup,
        runners: Vec<Box<dyn Runner>>,
        divided: Vec<Box<dyn Runner>>,
    ) -> Result<Self, EngineError> {
        let (name, workers) = (setup.name.clone(), runners.len());
        // No worker keeps more together than it has slots.
        let slots = setup.slots.div_ceil(runners.len().max(1));
        let few = setup.divided.as_ref().map_or(0, |divided| divided.few.min(slots));
        let shared = Arc::new(Shared {
            setup,
            state: Mutex::new(State { desks: Desks::new(runners.len(), few), ..State::default() }),
            work: Condvar::new(),
            waiting: Gauge::default(),
            slots_used: Gauge::default(),
            counts: Counts::default(),
            threads: Mutex::default(),
        });
        let decoder = Self { shared: Arc::clone(&shared) };
        let mut divided = divided.into_iter();
        for (number, runner) in runners.into_iter().enumerate() {
            let sessions = Sessions::new(runner, divided.next());
            let worker = Arc::clone(&shared);
            let thread = thread::Builder::new()
                .name(name.clone())
                .spawn(move || worker::serve(&worker, number, sessions))
                .map_err(|e| EngineError::Runtime(format!("a worker thread cannot be started: {e}")))
                // Those before it would otherwise live on.
                .inspect_err(|_| decoder.stop())?;
            shared.threads().push(thread);
        }
        // Whoever is served finds sessions that have all they need.
        let begun = shared.work.wait_while(shared.state(), |state| state.begun < workers);
        drop(begun.unwrap_or_else(PoisonError::into_inner));
        Ok(decoder)
    }

    /// The streams that have a slot just now.
    pub fn streams(&self) -> usize {
        self.shared.slots_used.get()
    }

    /// The step graph's inputs and outputs.
    pub fn spec(&self) -> &GraphSpec {
        &self.shared.setup.spec
    }

    /// The number of tokens: they are 0 to one less.
    pub fn tokens(&self) -> usize {
        self.shared.setup.shape.tokens
    }

    /// The batch sizes that the graph is run at.
    pub fn batch_sizes(&self) -> &[usize] {
        self.shared.setup.sizes.as_slice()
    }

    /// Begins a stream. Its chunks are the same bits whatever else is being served.
    ///
    /// The deadline is for the stream as a whole, and needs tokio's timer; when it passes, the stream ends with
    /// `DeadlineExceeded`. Dropping the [`Stream`] frees its slot. Errors: `QueueFull`, `DeadlineExceeded`,
    /// `Loading`, `Draining`.
    pub fn stream<C: Cursor>(
        &self,
        cursor: C,
        deadline: Option<Instant>,
    ) -> Result<Stream<C::Chunk>, EngineError> {
        let shared = &self.shared;
        let mut state = shared.state();
        if state.desks.all_broken() {
            drop(state);
            shared.counts.refused.add(1);
            return Err(EngineError::Loading(format!(
                "{} is being rebuilt after a fault",
                shared.setup.name
            )));
        }
        if deadline.is_some_and(|d| d <= Instant::now()) {
            shared.counts.expired.add(1);
            return Err(EngineError::DeadlineExceeded);
        }
        if state.draining {
            shared.counts.refused.add(1);
            return Err(EngineError::Draining);
        }
        // Those that will find a free slot do not count as waiting.
        let free = shared.setup.slots.saturating_sub(state.desks.active());
        if state.waiting.len() >= shared.setup.waiting + free {
            // Those whose client has gone make room.
            let before = state.waiting.len();
            state.waiting.retain(|waiting| !waiting.lane.is_gone());
            shared.counts.cancelled.add(before - state.waiting.len());
        }
        if state.waiting.len() >= shared.setup.waiting + free {
            shared.counts.refused.add(1);
            return Err(EngineError::QueueFull { retry_after: RETRY_AFTER });
        }
        let (lane, stream) = TypedLane::new(cursor, shared.setup.buffer, deadline, Arc::clone(shared));
        let (lane, held) = (Box::new(lane), shared.waiting.hold(1));
        state.waiting.push_back(Waiting { lane, since: Instant::now(), held });
        drop(state);
        shared.wake();
        Ok(stream)
    }

    /// What is going on just now, and since the start.
    pub fn stats(&self) -> DecoderStats {
        let (shared, counts) = (&self.shared, &self.shared.counts);
        DecoderStats {
            slots: shared.setup.slots,
            slots_used: shared.slots_used.get(),
            waiting: shared.waiting.get(),
            finished: counts.finished.get(),
            refused: counts.refused.get(),
            expired: counts.expired.get(),
            cancelled: counts.cancelled.get(),
            failed: counts.failed.get(),
            iterations: counts.iterations.get(),
            steps: counts.steps.get(),
            padding: counts.padding.get(),
        }
    }

    /// The same and more, in the shape that it has for every graph.
    pub(crate) fn activity(&self, graph: &str) -> Activity {
        let (stats, counts) = (self.stats(), &self.shared.counts);
        // First come, first served: who waits in front has waited longest.
        let state = self.shared.state();
        let oldest = state.waiting.front().map(|waiting| waiting.since.elapsed());
        let workers = Workers { total: state.desks.len(), healthy: state.desks.healthy() };
        drop(state);
        Activity {
            graph: graph.to_owned(),
            line: Line { waiting: stats.waiting, oldest },
            running: stats.slots_used,
            slots: Some(stats.slots),
            workers,
            outcomes: Outcomes {
                answered: stats.finished,
                refused: stats.refused,
                expired: stats.expired,
                failed: stats.failed,
                cancelled: stats.cancelled,
            },
            work: Work { batches: stats.iterations, rows: stats.steps, padding: stats.padding },
            times: Times {
                queue: counts.queue.get(),
                compute: counts.compute.get(),
                rows: counts.rows.get(),
            },
        }
    }

    /// Whether all workers run.
    pub fn health(&self) -> Health {
        let state = self.shared.state();
        Health::of(state.draining, state.desks.healthy(), state.desks.len())
    }

    /// Takes no more streams.
    pub(crate) fn drain(&self) {
        self.shared.state().draining = true;
        self.shared.wake();
    }

    /// Whether there is no stream.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.shared.state();
        state.desks.active() == 0 && state.waiting.is_empty()
    }

    /// Ends every stream with `Draining` before its next step, and joins the workers.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state();
        state.draining = true;
        state.stop = true;
        drop(state);
        self.shared.wake();
        let threads = std::mem::take(&mut *self.shared.threads());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(graph = self.shared.setup.name, "a worker thread ended in panic");
            }
        }
    }
}

impl Shared {
    /// Has the workers look around.
    pub(crate) fn wake(&self) {
        self.state().desks.wake();
        self.work.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "decoder/overhead_tests.rs"]
mod overhead;
#[cfg(test)]
#[path = "decoder/decoder_tests.rs"]
mod tests;
