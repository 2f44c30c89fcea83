//! Batches for a stateless graph: the thin shell around the [scheduler](scheduler::Scheduler).

pub(crate) mod scheduler;
mod worker;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use atelier_package::{Bindings, GraphSpec, Tensor};
use tokio::sync::oneshot;

use crate::EngineError;
use crate::gauge::{Counter, Gauge, Held};
use crate::runtime::session::{Factory, Runner};
use crate::sizes::Sizes;
use crate::stats::{GraphStats, Health};
use crate::turnstile::Turnstile;
use scheduler::{Action, BatchId, Event, Failure, Limits, Refusal, RequestId, Scheduler};

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
    pub(crate) threads: usize,
    pub(crate) turnstile: Arc<Turnstile>,
    pub(crate) factory: Factory,
}

/// A graph that is being served. Cheap to clone.
#[derive(Clone)]
pub struct GraphHandle {
    shared: Arc<Shared>,
}

struct Shared {
    setup: Setup,
    state: Mutex<State>,
    /// There may be work, or an end to it.
    work: Condvar,
    /// Workers whose session runs.
    healthy: AtomicUsize,
    /// Workers whose session could not be made anew at once after a fault.
    broken: AtomicUsize,
    workers: usize,
    queued: Gauge,
    running: Gauge,
    counts: Counts,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Counts {
    answered: Counter,
    refused: Counter,
    expired: Counter,
    failed: Counter,
    batches: Counter,
    rows: Counter,
}

struct State {
    scheduler: Scheduler,
    pending: HashMap<RequestId, Pending>,
    next_id: RequestId,
    draining: bool,
    stop: bool,
}

type Reply = Result<Vec<Tensor>, EngineError>;

/// A request that was taken in. Its permits live in here: they go when the request does.
struct Pending {
    inputs: Arc<Vec<Tensor>>,
    done: Vec<(Range<usize>, Vec<Tensor>)>,
    reply: oneshot::Sender<Reply>,
    queued: Held,
}

/// What a worker is to run.
struct Job {
    batch: BatchId,
    parts: Vec<(RequestId, Range<usize>, Arc<Vec<Tensor>>)>,
}

impl GraphHandle {
    /// Starts a worker for each of `runners`.
    pub(crate) fn start(setup: Setup, runners: Vec<Box<dyn Runner>>) -> Result<Self, EngineError> {
        let workers = runners.len();
        let limits = Limits {
            rows: setup.queue_rows,
            requests: setup.queue_requests,
            batch: if setup.joinable { setup.sizes.max() } else { 1 },
            workers,
        };
        let state = State {
            scheduler: Scheduler::new(limits),
            pending: HashMap::new(),
            next_id: 0,
            draining: false,
            stop: false,
        };
        let handle = Self {
            shared: Arc::new(Shared {
                setup,
                state: Mutex::new(state),
                work: Condvar::new(),
                healthy: AtomicUsize::new(workers),
                broken: AtomicUsize::new(0),
                workers,
                queued: Gauge::default(),
                running: Gauge::default(),
                counts: Counts::default(),
                threads: Mutex::default(),
            }),
        };
        for (number, runner) in runners.into_iter().enumerate() {
            let shared = Arc::clone(&handle.shared);
            let thread = std::thread::Builder::new()
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

    /// Runs the graph: inputs and outputs in the order of the [spec](GraphHandle::spec), each with the same
    /// number of rows along `batch`.
    ///
    /// Under [`Batching::Exact`](crate::Batching) the outputs are the same bits whatever else is being served.
    /// Dropping the future cancels the request: what waits leaves the queue at once.
    ///
    /// A `deadline` needs tokio's timer. Errors: `InvalidInput`, `QueueFull`, `DeadlineExceeded`, `Loading`,
    /// `Draining`, `Runtime`.
    pub async fn run(
        &self,
        inputs: Vec<Tensor>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Tensor>, EngineError> {
        let rows = self.check(&inputs)?;
        let (id, mut reply) = self.submit(inputs, rows, deadline)?;
        let mut cancel = CancelOnDrop { shared: &self.shared, id: Some(id) };
        let gone = || EngineError::Runtime("the worker went away without an answer".into());
        let answer = match deadline {
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
        answer?
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
            batches: counts.batches.get(),
            rows: counts.rows.get(),
        }
    }

    /// Whether all workers run.
    pub fn health(&self) -> Health {
        let healthy = self.shared.healthy.load(Ordering::Acquire);
        let draining = self.shared.state().draining;
        Health::of(draining, healthy, self.shared.workers)
    }

    /// Takes no more requests.
    pub(crate) fn drain(&self) {
        let mut state = self.shared.state();
        state.draining = true;
        self.shared.step(&mut state, Event::Drain);
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.state().scheduler.is_idle()
    }

    /// Gives up what waits, lets running batches finish, and joins the workers.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state();
        state.draining = true;
        state.stop = true;
        self.shared.step(&mut state, Event::Drain);
        self.shared.step(&mut state, Event::Abort);
        drop(state);
        self.shared.work.notify_all();
        let threads = std::mem::take(&mut *self.shared.threads());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(graph = self.shared.setup.name, "a worker thread ended in panic");
            }
        }
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
        deadline: Option<Instant>,
    ) -> Result<(RequestId, oneshot::Receiver<Reply>), EngineError> {
        let shared = &self.shared;
        // While a session is made anew for the first time requests may wait; it takes milliseconds.
        if shared.broken.load(Ordering::Acquire) == shared.workers {
            return Err(EngineError::Loading(format!(
                "{} is being rebuilt after a fault",
                shared.setup.name
            )));
        }
        let (reply, receiver) = oneshot::channel();
        let mut state = shared.state();
        state.next_id += 1;
        let id = state.next_id;
        let pending =
            Pending { inputs: Arc::new(inputs), done: Vec::new(), reply, queued: shared.queued.hold(1) };
        state.pending.insert(id, pending);
        shared.step(&mut state, Event::Submit { id, rows, deadline });
        let admitted = state.pending.contains_key(&id);
        drop(state);
        if admitted {
            shared.work.notify_one();
        }
        // A refusal is in the channel already, and is told from there.
        Ok((id, receiver))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the scheduler take in an event and does what it says. Returns the job, if one is to be run.
    fn step(&self, state: &mut State, event: Event) -> Option<Job> {
        let mut job = None;
        for action in state.scheduler.step(Instant::now(), event) {
            match action {
                Action::Run { batch, parts } => {
                    let inputs = |id: &RequestId| state.pending.get(id).map(|p| Arc::clone(&p.inputs));
                    let parts =
                        parts.into_iter().filter_map(|(id, r)| inputs(&id).map(|i| (id, r, i))).collect();
                    job = Some(Job { batch, parts });
                }
                Action::Refuse { id, why } => {
                    self.counts.refused.add(1);
                    let error = match why {
                        Refusal::Full { retry_after } => EngineError::QueueFull { retry_after },
                        Refusal::Late => EngineError::DeadlineExceeded,
                        Refusal::Draining => EngineError::Draining,
                    };
                    state.reply(id, |_| Err(error));
                }
                Action::Fail { id, why } => {
                    let error = match why {
                        Failure::Expired => {
                            self.counts.expired.add(1);
                            EngineError::DeadlineExceeded
                        }
                        Failure::Batch => {
                            self.counts.failed.add(1);
                            EngineError::Runtime(format!("{} failed on this batch", self.setup.name))
                        }
                        Failure::Aborted if state.stop => EngineError::Draining,
                        Failure::Aborted => {
                            EngineError::Loading(format!("{} is being rebuilt", self.setup.name))
                        }
                    };
                    state.reply(id, |_| Err(error));
                }
                Action::Answer { id } => {
                    self.counts.answered.add(1);
                    state.reply(id, assemble);
                }
            }
        }
        job
    }
}

impl State {
    fn reply(
        &mut self,
        id: RequestId,
        answer: impl FnOnce(Vec<(Range<usize>, Vec<Tensor>)>) -> Result<Vec<Tensor>, EngineError>,
    ) {
        if let Some(Pending { done, reply, queued, .. }) = self.pending.remove(&id) {
            // The permit is free before the client hears of it, who may come again at once.
            drop(queued);
            // Whoever asked may be gone: then there is nobody to tell.
            let _ = reply.send(answer(done));
        }
    }
}

/// Puts the outputs of a request's parts together, in the order of its rows.
fn assemble(mut parts: Vec<(Range<usize>, Vec<Tensor>)>) -> Result<Vec<Tensor>, EngineError> {
    if parts.len() == 1 {
        return Ok(parts.pop().map(|(_, outputs)| outputs).unwrap_or_default());
    }
    parts.sort_by_key(|(range, _)| range.start);
    let rows = parts.iter().map(|(range, _)| range.len()).sum();
    let count = parts.first().map_or(0, |(_, outputs)| outputs.len());
    (0..count)
        .map(|i| {
            let pieces: Vec<(&Tensor, Range<usize>)> =
                parts.iter().filter_map(|(r, outputs)| outputs.get(i).map(|t| (t, 0..r.len()))).collect();
            crate::rows::join(&pieces, rows)
        })
        .collect()
}

/// Takes a request out of the queue when its caller loses interest.
struct CancelOnDrop<'a> {
    shared: &'a Shared,
    id: Option<RequestId>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.shared.state();
            self.shared.step(&mut state, Event::Cancel { id });
            state.pending.remove(&id);
        }
    }
}

#[cfg(test)]
#[path = "batcher/batcher_tests.rs"]
mod tests;
