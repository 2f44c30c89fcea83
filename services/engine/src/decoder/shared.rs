//! What the callers, the workers and the watchdog of a decoder share.

use std::collections::VecDeque;
use std::time::Instant;

use super::Setup;
use super::desks::Desks;
use super::lane::Lane;
use super::pace::Pace;
use super::seats::{Post, Run, Seat};
use crate::EngineError;
use crate::fault::{caught, join_all};
use crate::gauge::{Counter, Gauge, Held};
use crate::histogram::Histogram;
use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) struct Shared {
    pub(super) setup: Setup,
    state: Mutex<State>,
    /// Something changed for the worker.
    pub(super) work: Condvar,
    /// One of each worker. Whoever holds one may ask for the state, and not the other way round.
    pub(super) posts: Vec<Post>,
    pub(super) waiting: Gauge,
    pub(super) slots_used: Gauge,
    pub(super) counts: Counts,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) struct Counts {
    pub(super) finished: Counter,
    pub(super) refused: Counter,
    pub(super) expired: Counter,
    pub(super) cancelled: Counter,
    pub(super) failed: Counter,
    pub(super) iterations: Counter,
    pub(super) steps: Counter,
    pub(super) padding: Counter,
    pub(super) queue: Histogram,
    pub(super) compute: Histogram,
    pub(super) rows: Histogram,
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
pub(super) struct Waiting {
    pub(super) lane: Box<dyn Lane>,
    pub(super) since: Instant,
    pub(super) held: Held,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) desks: Desks,
    pub(super) pace: Pace,
    /// Workers that are there.
    pub(super) begun: usize,
    /// Workers that are gone.
    pub(super) gone: usize,
    pub(super) draining: bool,
    pub(super) stop: bool,
}

impl Shared {
    /// For so many workers, which keep up to `few` streams together.
    pub(super) fn new(setup: Setup, workers: usize) -> Self {
        let slots = setup.slots.div_ceil(workers.max(1));
        // No worker keeps more together than it has slots.
        let few = setup.divided.as_ref().map_or(0, |divided| divided.few.min(slots));
        Self {
            setup,
            state: Mutex::new(State { desks: Desks::new(workers, few), ..State::default() }),
            work: Condvar::new(),
            posts: (0..workers).map(|_| Post::new(slots)).collect(),
            waiting: Gauge::default(),
            slots_used: Gauge::default(),
            counts: Counts::default(),
            threads: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the workers look around.
    pub(super) fn wake(&self) {
        self.state().desks.wake();
        self.work.notify_all();
    }

    /// A client goes, or has been told that its deadline passed.
    pub(super) fn left(&self) {
        self.clear_line();
        self.wake();
    }

    /// What streams are told that nobody can step.
    pub(super) fn loading(&self) -> EngineError {
        EngineError::Loading(format!("{} is being rebuilt after a fault", self.setup.name))
    }

    /// Takes those out of the line whose deadline passed or whose client is gone.
    pub(super) fn clear_line(&self) {
        let now = Instant::now();
        let is_over = |waiting: &Waiting| waiting.lane.readiness(now).end().is_some();
        let mut state = self.state();
        if !state.waiting.iter().any(is_over) {
            return;
        }
        let line = std::mem::take(&mut state.waiting);
        let (over, line): (VecDeque<_>, VecDeque<_>) = line.into_iter().partition(is_over);
        state.waiting = line;
        drop(state);
        for waiting in over {
            let end = waiting.lane.readiness(now).end().unwrap_or(EngineError::Cancelled);
            self.dismiss(waiting, end);
        }
    }

    /// Ends all who wait.
    pub(super) fn end_line(&self, end: &EngineError) {
        let line = std::mem::take(&mut self.state().waiting);
        line.into_iter().for_each(|waiting| self.dismiss(waiting, end.clone()));
    }

    fn dismiss(&self, Waiting { lane, held, .. }: Waiting, end: EngineError) {
        drop(held);
        self.finish(lane, Err(end));
    }

    /// Ends a stream that has a slot of this worker.
    pub(super) fn leave(&self, worker: usize, seat: Seat, end: Result<(), EngineError>) {
        let Seat { lane, since, stepped, used, .. } = seat;
        // The slot is free before the client hears of the end.
        drop(used);
        let mut state = self.state();
        state.desks.of(worker, |desk| desk.active -= 1);
        // Who took no step says nothing of how long one keeps a slot.
        if stepped {
            state.pace.add(since.elapsed());
        }
        drop(state);
        self.finish(lane, end);
    }

    fn finish(&self, lane: Box<dyn Lane>, end: Result<(), EngineError>) {
        let counts = &self.counts;
        match &end {
            Ok(()) => counts.finished.add(1),
            Err(EngineError::Cancelled) => counts.cancelled.add(1),
            Err(EngineError::DeadlineExceeded) => counts.expired.add(1),
            Err(_) => counts.failed.add(1),
        }
        // The cursor is the caller's: what its drop does must not end this thread.
        let _ = caught(|| lane.finish(end));
    }

    /// Stops steps that take too long, and tells the streams in them. Where a step does not hear of it by the next
    /// look, its worker is as good as gone: it keeps no core from other graphs any more, the others that have its slots
    /// are told too, and so are those who wait where it was the last.
    pub(super) fn give_up(&self) {
        let (now, longest) = (Instant::now(), self.setup.longest_run);
        for (number, post) in self.posts.iter().enumerate() {
            let mut under_way = post.run();
            let overdue = |run: &&mut Run| now.saturating_duration_since(run.started) > longest;
            let Some(run) = under_way.as_mut().filter(overdue) else { continue };
            // All with the step in hand, which its worker takes back before it goes on.
            let again = std::mem::replace(&mut run.given_up, true);
            let mut state = self.state();
            state.desks.of(number, |desk| (desk.out, desk.broken) = (true, again));
            let none_left = state.desks.all_broken();
            drop(state);
            let picked = run.picked.iter().map(|(slot, _)| *slot);
            let told = if again { post.clear() } else { post.take(picked) };
            if again {
                run.turn.give_back();
            } else {
                tracing::error!(graph = self.setup.name, "a step takes too long and is given up");
                run.stop();
            }
            drop(under_way);
            for seat in told {
                let message = format!("{} took too long and was given up", self.setup.name);
                self.leave(number, seat, Err(EngineError::Runtime(message)));
            }
            if none_left {
                self.end_line(&self.loading());
            }
            self.wake();
        }
    }

    /// Tells the workers to end, and stops the steps that are under way.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.draining = true;
        state.stop = true;
        drop(state);
        self.wake();
        self.posts.iter().for_each(Post::stop);
        self.end_line(&EngineError::Draining);
    }

    /// Waits for the workers that were told to end. One that has not by then is left behind.
    pub(super) fn join(&self, by: Instant) {
        let threads = std::mem::take(&mut *self.threads());
        let at_work = |state: &mut State| state.gone < threads.len();
        let patience = by.saturating_duration_since(Instant::now());
        let ended = self.work.wait_timeout_while(self.state(), patience, at_work);
        let (state, waited) = ended.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() {
            tracing::error!(graph = self.setup.name, "a worker does not end and is left behind");
            for (number, post) in self.posts.iter().enumerate() {
                for seat in post.try_clear() {
                    self.leave(number, seat, Err(EngineError::Draining));
                }
            }
            return;
        }
        join_all(&self.setup.name, threads);
    }
}
