//! Batches for a stateless graph: the thin shell around the [scheduler](scheduler::Scheduler).

pub(crate) mod cost;
mod protocol;
mod scheduler;
mod shared;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_package::{Bindings, GraphSpec, Tensor};
use tokio::sync::oneshot;

use crate::fault::join_all;
use crate::gauge::Gauge;
use crate::runtime::session::{Factory, Runner};
use crate::runtime::stop::LAST_RUN;
use crate::sizes::Sizes;
use crate::stats::{Activity, GraphStats, Health, Line, Outcomes, Times, Work, Workers};
use crate::sync::{Condvar, Mutex, PoisonError, thread};
use crate::turnstile::Turnstile;
use crate::{EngineError, Terms};
use cost::Costs;
use protocol::{Event, Limits, Ready, Request, RequestId};
use scheduler::Scheduler;
use shared::{CancelOnDrop, Counts, Pending, Reply, Shared, State, assemble};

/// What a batcher is made of.
pub(crate) struct Setup {
    /// `MODEL/VERSION/GRAPH`, for logs and threads.
    pub(crate) name: String,
    pub(crate) spec: Arc<GraphSpec>,
    pub(crate) sizes: Sizes,
    /// Whether requests can be joined; else each runs alone, as it is.
    pub(crate) joinable: bool,
    pub(crate) queue_rows: usize,
    pub(crate) queue_requests: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) longest_run: Duration,
    pub(crate) max_queue_delay: Duration,
    pub(crate) threads: usize,
    pub(crate) turnstile: Arc<Turnstile>,
    pub(crate) factory: Factory,
}

/// A graph that is being served. Cheap to clone.
#[derive(Clone)]
pub struct GraphHandle {
    shared: Arc<Shared>,
}

impl GraphHandle {
    /// Starts a worker for each of `runners`.
    pub(crate) fn start(setup: Setup, runners: Vec<Box<dyn Runner>>) -> Result<Self, EngineError> {
        let workers = runners.len();
        let limits = Limits {
            rows: setup.queue_rows,
            requests: setup.queue_requests,
            bytes: setup.queue_bytes,
            workers,
            longest_run: setup.longest_run,
            // Those that run alone have no company to wait for.
            delay: if setup.joinable { setup.max_queue_delay } else { Duration::ZERO },
        };
        let costs = if setup.joinable { setup.sizes.costs() } else { Costs::new([(1, None)]) };
        let state = State {
            scheduler: Scheduler::new(limits, costs),
            pending: HashMap::new(),
            running: HashMap::new(),
            next_id: 0,
            begun: 0,
            gone: 0,
            broken: 0,
            draining: false,
            stop: false,
        };
        let handle = Self {
            shared: Arc::new(Shared {
                setup,
                state: Mutex::new(state),
                work: Condvar::new(),
                end: Condvar::new(),
                workers,
                queued: Gauge::default(),
                running: Gauge::default(),
                counts: Counts::default(),
                threads: Mutex::default(),
            }),
        };
        for (number, runner) in runners.into_iter().enumerate() {
            let shared = Arc::clone(&handle.shared);
            let thread = thread::Builder::new()
                .name(format!("{}#{number}", shared.setup.name))
                .spawn(move || worker::serve(&shared, runner));
            match thread {
                Ok(thread) => handle.shared.threads().push(thread),
                Err(e) => {
                    handle.stop();
                    return Err(EngineError::Runtime(format!("a worker thread cannot be started: {e}")));
                }
            }
        }
        // Whoever is served finds sessions that have all they need.
        let state = handle.shared.state();
        let begun = handle.shared.work.wait_while(state, |s| s.begun < workers && s.gone == 0);
        drop(begun.unwrap_or_else(PoisonError::into_inner));
        Ok(handle)
    }

    /// The graph's inputs and outputs.
    pub fn spec(&self) -> &GraphSpec {
        &self.shared.setup.spec
    }

    /// The batch sizes that the graph is run at.
    pub fn batch_sizes(&self) -> &[usize] {
        self.shared.setup.sizes.as_slice()
    }

    /// How long the first rows of a batch that is not full wait for others.
    pub fn max_queue_delay(&self) -> Duration {
        self.shared.setup.max_queue_delay
    }

    /// Whether requests are joined row by row. If not, each runs alone, as it is.
    pub fn joins_requests(&self) -> bool {
        self.shared.setup.joinable
    }

    /// The most rows that one request may have.
    pub fn max_rows(&self) -> usize {
        self.shared.setup.queue_rows
    }

    /// How many sessions run the graph.
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// [Runs](GraphHandle::run_on) the graph as everybody, until `deadline`.
    pub async fn run(
        &self,
        inputs: Vec<Tensor>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Tensor>, EngineError> {
        self.run_on(inputs, Terms { deadline, ..Terms::default() }).await
    }

    /// Runs the graph: inputs and outputs in the order of the [spec](GraphHandle::spec), each with the same
    /// number of rows along `batch`.
    ///
    /// Under [`Batching::Exact`](crate::Batching) the outputs are the same bits whatever else is being served.
    /// Dropping the future cancels the request: what waits leaves the queue at once.
    ///
    /// A deadline needs tokio's timer. Errors: `InvalidInput`, `QueueFull`, `DeadlineExceeded`, `Loading`,
    /// `Draining`, `Runtime`.
    pub async fn run_on(&self, inputs: Vec<Tensor>, terms: Terms) -> Result<Vec<Tensor>, EngineError> {
        let rows = self.check(&inputs)?;
        let (id, mut reply) = self.submit(inputs, rows, terms)?;
        let mut cancel = CancelOnDrop { shared: &self.shared, id: Some(id) };
        let gone = || EngineError::Runtime("the worker went away without an answer".into());
        let answer = match terms.deadline {
            None => (&mut reply).await.map_err(|_| gone()),
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), &mut reply).await {
                Ok(answer) => answer.map_err(|_| gone()),
                Err(_) => {
                    let mut state = self.shared.state();
                    self.shared.step(&mut state, Event::Tick);
                    drop(state);
                    // By now the scheduler has failed it as expired, or a worker was a moment faster.
                    reply.try_recv().map_err(|_| EngineError::DeadlineExceeded)
                }
            },
        };
        if answer.is_ok() {
            cancel.id = None;
        }
        // Here, since it copies, and nobody else waits for it.
        assemble(answer??)
    }

    /// What is going on just now, and since the start.
    pub fn stats(&self) -> GraphStats {
        let counts = &self.shared.counts;
        GraphStats {
            queued: self.shared.queued.get(),
            running: self.shared.running.get(),
            answered: counts.answered.get(),
            refused: counts.refused.get(),
            expired: counts.expired.get(),
            failed: counts.failed.get(),
            cancelled: counts.cancelled.get(),
            batches: counts.batches.get(),
            rows: counts.rows.get(),
            padding: counts.padding.get(),
            answered_time: counts.answered_time.get(),
            failed_time: counts.failed_time.get(),
            queued_time: counts.queued_time.get(),
            computed_time: counts.computed_time.get(),
            last_answer: counts.last_answer.get(),
        }
    }

    /// The same and more, in the shape that it has for every graph. Looks through the queue: for somebody who
    /// asks now and then.
    pub(crate) fn activity(&self, graph: &str) -> Activity {
        let (stats, counts) = (self.stats(), &self.shared.counts);
        let healthy = self.shared.state().scheduler.healthy();
        Activity {
            graph: graph.to_owned(),
            line: self.line(),
            running: stats.running,
            slots: None,
            workers: Workers { total: self.shared.workers, healthy },
            outcomes: Outcomes {
                answered: stats.answered,
                refused: stats.refused,
                expired: stats.expired,
                failed: stats.failed,
                cancelled: stats.cancelled,
            },
            work: Work { batches: stats.batches, rows: stats.rows, padding: stats.padding },
            times: Times {
                queue: counts.queue.get(),
                compute: counts.compute.get(),
                rows: counts.batch_rows.get(),
            },
        }
    }

    fn line(&self) -> Line {
        let state = self.shared.state();
        let waiting = state.pending.values().filter(|pending| !pending.taken);
        let (count, oldest) = waiting.fold((0, None::<Instant>), |(count, oldest), pending| {
            (count + 1, Some(oldest.map_or(pending.submitted, |o| o.min(pending.submitted))))
        });
        drop(state);
        Line { waiting: count, oldest: oldest.map(|since| since.elapsed()) }
    }

    /// Whether all workers run.
    pub fn health(&self) -> Health {
        let state = self.shared.state();
        Health::of(state.draining, state.scheduler.healthy(), self.shared.workers)
    }

    /// Lets time pass where no request's timer does: gives up a run that takes too long. One that goes on the next time
    /// all the same keeps no core from other graphs any more, and what waits for its worker is given up too, if there is
    /// no other.
    pub(crate) fn tick(&self) {
        let mut state = self.shared.state();
        for run in state.scheduler.stuck().filter_map(|batch| state.running.get(&batch)) {
            run.turn.give_back();
        }
        let before = self.shared.none_serves(&state);
        self.shared.step(&mut state, Event::Tick);
        if before && self.shared.none_serves(&state) {
            self.shared.step(&mut state, Event::Abort);
        }
    }

    /// Takes no more requests.
    pub(crate) fn drain(&self) {
        let mut state = self.shared.state();
        state.draining = true;
        self.shared.step(&mut state, Event::Drain);
        drop(state);
        // Nobody waits for company any more.
        self.shared.work.notify_all();
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.state().scheduler.is_idle()
    }

    /// Gives up what waits and what runs, and tells the workers to end.
    pub(crate) fn end(&self) {
        let mut state = self.shared.state();
        state.draining = true;
        state.stop = true;
        self.shared.step(&mut state, Event::Drain);
        self.shared.step(&mut state, Event::Abort);
        drop(state);
        self.shared.work.notify_all();
        self.shared.end.notify_all();
    }

    /// Joins the workers that were told to [end](Self::end); one that has not by then is left behind.
    pub(crate) fn join(&self, by: Instant) {
        let threads = std::mem::take(&mut *self.shared.threads());
        let at_work = |state: &mut State| state.gone < threads.len();
        let patience = by.saturating_duration_since(Instant::now());
        let ended = self.shared.end.wait_timeout_while(self.shared.state(), patience, at_work);
        let (state, waited) = ended.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() {
            tracing::error!(graph = self.shared.setup.name, "a worker does not end and is left behind");
            return;
        }
        join_all(&self.shared.setup.name, threads);
    }

    /// Both. Takes no longer than a few seconds, whatever a run does.
    pub(crate) fn stop(&self) {
        self.end();
        self.join(Instant::now() + LAST_RUN);
    }

    fn check(&self, inputs: &[Tensor]) -> Result<usize, EngineError> {
        let setup = &self.shared.setup;
        if inputs.len() != setup.spec.inputs.len() {
            let names: Vec<&str> = setup.spec.inputs.iter().map(|s| s.name.as_str()).collect();
            let message =
                format!("there are {}, but {} is right ({})", inputs.len(), names.len(), names.join(", "));
            return Err(EngineError::invalid("inputs", message));
        }
        let mut bindings = Bindings::new();
        for (spec, tensor) in setup.spec.inputs.iter().zip(inputs) {
            let wrong = |e: atelier_package::ShapeMismatch| EngineError::invalid(&spec.name, e.to_string());
            spec.check_shape(tensor, &mut bindings).map_err(wrong)?;
            spec.check_values(tensor).map_err(wrong)?;
        }
        if !setup.joinable {
            return Ok(1);
        }
        let rows = bindings.get(atelier_package::Dim::BATCH).copied().unwrap_or(1);
        if rows > setup.queue_rows {
            let message = format!("is {rows}, but at most {} rows are taken at a time", setup.queue_rows);
            return Err(EngineError::invalid(atelier_package::Dim::BATCH, message));
        }
        Ok(rows)
    }

    fn submit(
        &self,
        inputs: Vec<Tensor>,
        rows: usize,
        terms: Terms,
    ) -> Result<(RequestId, oneshot::Receiver<Reply>), EngineError> {
        let shared = &self.shared;
        let bytes = inputs.iter().map(|tensor| tensor.len() * tensor.dtype().size()).sum();
        let (reply, receiver) = oneshot::channel();
        let submitted = Instant::now();
        let mut state = shared.state();
        // While a session is made anew for the first time requests may wait; it takes milliseconds.
        if shared.none_serves(&state) {
            shared.counts.refused.add(1);
            return Err(shared.out_of_order());
        }
        state.next_id += 1;
        let id = state.next_id;
        let pending = Pending {
            inputs: Arc::new(inputs),
            done: Vec::new(),
            reply,
            span: tracing::Span::current(),
            submitted,
            taken: false,
            queued: shared.queued.hold(1),
        };
        state.pending.insert(id, pending);
        let Terms { deadline, priority } = terms;
        let before = state.scheduler.ready(submitted);
        shared.step(&mut state, Event::Submit(Request { id, rows, bytes, deadline, priority }));
        let admitted = state.pending.contains_key(&id);
        let ready = state.scheduler.ready(submitted);
        drop(state);
        // A worker that waits for others to come too need not hear of each.
        if admitted && (ready == Ready::Now || ready != before) {
            shared.work.notify_one();
        }
        // A refusal is in the channel already, and is told from there.
        Ok((id, receiver))
    }
}

#[cfg(test)]
#[path = "batcher/batcher_tests.rs"]
mod tests;
