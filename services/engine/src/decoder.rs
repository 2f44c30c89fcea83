//! Continuous batching: many streams advance together through one step graph.
//!
//! Each stream has a slot that keeps what it remembers between steps: states, and the delay lines of dilated
//! convolutions, of which only the rows that come out and go in cross the graph. An iteration takes the slots
//! that can go on into one batch of the smallest size that holds them, runs the step graph, and gives each
//! stream its row of logits. Streams come and go at any step. What a stream does with its logits (read a
//! prompt, sample, score), and what it gives the graph besides its token, is its [`Cursor`]'s business.
//!
//! A stream whose client reads too slowly is parked in its slot until there is room again; the others go
//! on. A stream whose client is gone frees its slot before the next step. Who waits for a slot and is gone, or
//! whose deadline passed, leaves the line at once; who comes and would be too late by the recent pace is refused.
//!
//! A step that fails has changed nothing that its streams remember: they are tried again by halves until what breaks
//! it stands alone, and that stream ends. A step that takes too long is stopped, and its streams are told.
//!
//! Where sessions of one thread do better side by side there are several workers, each with slots of its own. A stream
//! goes to the worker that has the fewest, and stays with it. Where they do so only for many streams, few are kept
//! together, and a worker that is alone has a session for them whose threads divide each step.

mod cursor;
mod desks;
pub(crate) mod lane;
mod lines;
mod pace;
mod residence;
mod seats;
mod sessions;
pub(crate) mod shape;
mod shared;
pub(crate) mod slots;
mod step;
mod stream;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_package::GraphSpec;

use crate::EngineError;
use crate::runtime::session::{Factory, Runner};
use crate::runtime::stop::LAST_RUN;
use crate::sizes::Sizes;
use crate::stats::{Activity, DecoderStats, Health, Line, Outcomes, Times, Work, Workers};
use crate::sync::{PoisonError, thread};
use crate::turnstile::Turnstile;
pub use cursor::{Cursor, Step};
use lane::TypedLane;
use sessions::Sessions;
use shape::StepShape;
use shared::{Shared, Waiting};
pub use stream::Stream;

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
    /// A step that takes longer is given up.
    pub(crate) longest_run: Duration,
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

/// When to come again while all slots and places are taken and nobody has left one yet: about the time of a short text.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The least and the most time after which a refused caller is to come again.
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_secs(30);

impl Decoder {
    /// Starts a worker for each runner; with one of the `divided` too, where there are any.
    pub(crate) fn start(
        setup: Setup,
        runners: Vec<Box<dyn Runner>>,
        divided: Vec<Box<dyn Runner>>,
    ) -> Result<Self, EngineError> {
        let (name, workers) = (setup.name.clone(), runners.len());
        let shared = Arc::new(Shared::new(setup, workers));
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
        let begun = shared.work.wait_while(shared.state(), |s| s.begun < workers && s.gone == 0);
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
    /// `DeadlineExceeded`. Where by the recent pace no slot is free before it, that is said at once. Dropping the
    /// [`Stream`] frees its slot. Errors: `QueueFull`, `DeadlineExceeded`, `Loading`, `Draining`.
    pub fn stream<C: Cursor>(
        &self,
        cursor: C,
        deadline: Option<Instant>,
    ) -> Result<Stream<C::Chunk>, EngineError> {
        let (shared, now) = (&self.shared, Instant::now());
        // Whoever is over makes room.
        shared.clear_line();
        let mut state = shared.state();
        if state.desks.all_broken() {
            drop(state);
            shared.counts.refused.add(1);
            return Err(shared.loading());
        }
        if deadline.is_some_and(|d| d <= now) {
            shared.counts.expired.add(1);
            return Err(EngineError::DeadlineExceeded);
        }
        if state.draining {
            shared.counts.refused.add(1);
            return Err(EngineError::Draining);
        }
        // Those that will find a free slot do not count as waiting.
        let (slots, free) = state.desks.slots(shared.setup.slots);
        let turns = (state.waiting.len() + 1).saturating_sub(free);
        let wait = state.pace.wait(turns, slots);
        if turns > shared.setup.waiting {
            shared.counts.refused.add(1);
            let retry_after = wait.unwrap_or(RETRY_AFTER).clamp(SOONEST, LATEST);
            return Err(EngineError::QueueFull { retry_after });
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if turns > 0 && left.zip(wait).is_some_and(|(left, wait)| wait >= left) {
            shared.counts.refused.add(1);
            return Err(EngineError::DeadlineExceeded);
        }
        let (lane, stream) = TypedLane::new(cursor, shared.setup.buffer, deadline, Arc::clone(shared));
        let (lane, held) = (Box::new(lane), shared.waiting.hold(1));
        state.waiting.push_back(Waiting { lane, since: now, held });
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

    /// Lets time pass where no stream's timer does: ends who waits and is over, and gives up a step that takes too
    /// long.
    pub(crate) fn tick(&self) {
        self.shared.clear_line();
        self.shared.give_up();
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

    /// Has every stream end with `Draining` before its next step, and stops the one that is under way.
    pub(crate) fn end(&self) {
        self.shared.end();
    }

    /// Joins the workers that were told to [end](Self::end); one that has not by then is left behind.
    pub(crate) fn join(&self, by: Instant) {
        self.shared.join(by);
    }

    /// Both. Takes no longer than a few seconds, whatever a step does.
    pub(crate) fn stop(&self) {
        self.end();
        self.join(Instant::now() + LAST_RUN);
    }
}

#[cfg(test)]
#[path = "decoder/fault_tests.rs"]
mod faults;
#[cfg(test)]
#[path = "decoder/line_tests.rs"]
mod line;
#[cfg(test)]
#[path = "decoder/overhead_tests.rs"]
mod overhead;
#[cfg(test)]
#[path = "decoder/decoder_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "decoder/turn_tests.rs"]
mod turns;
