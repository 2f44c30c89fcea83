//! What callers and workers of a batcher have in common.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use atelier_package::Tensor;
use tokio::sync::oneshot;

use super::Setup;
use super::protocol::{Action, BatchId, Event, Failure, Refusal, RequestId};
use super::scheduler::Scheduler;
use crate::EngineError;
use crate::gauge::{Counter, Elapsed, Gauge, Held, Last};
use crate::histogram::Histogram;
use crate::runtime::stop::Stop;
use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::turnstile::Turn;

pub(super) struct Shared {
    pub(super) setup: Setup,
    pub(super) state: Mutex<State>,
    /// There may be work, or an end to it.
    pub(super) work: Condvar,
    /// Told of the end. Workers without a session wait for it, who must not take the place of one that could work.
    pub(super) end: Condvar,
    pub(super) workers: usize,
    pub(super) queued: Gauge,
    pub(super) running: Gauge,
    pub(super) counts: Counts,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) struct Counts {
    pub(super) answered: Counter,
    pub(super) refused: Counter,
    pub(super) expired: Counter,
    pub(super) failed: Counter,
    pub(super) cancelled: Counter,
    pub(super) batches: Counter,
    pub(super) rows: Counter,
    pub(super) padding: Counter,
    pub(super) answered_time: Elapsed,
    pub(super) failed_time: Elapsed,
    pub(super) queued_time: Elapsed,
    pub(super) computed_time: Elapsed,
    pub(super) last_answer: Last,
    pub(super) queue: Histogram,
    pub(super) compute: Histogram,
    pub(super) batch_rows: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            answered: Counter::default(),
            refused: Counter::default(),
            expired: Counter::default(),
            failed: Counter::default(),
            cancelled: Counter::default(),
            batches: Counter::default(),
            rows: Counter::default(),
            padding: Counter::default(),
            answered_time: Elapsed::default(),
            failed_time: Elapsed::default(),
            queued_time: Elapsed::default(),
            computed_time: Elapsed::default(),
            last_answer: Last::default(),
            queue: Histogram::seconds(),
            compute: Histogram::seconds(),
            batch_rows: Histogram::rows(),
        }
    }
}

pub(super) struct State {
    pub(super) scheduler: Scheduler,
    pub(super) pending: HashMap<RequestId, Pending>,
    /// The batches that are being run.
    pub(super) running: HashMap<BatchId, Run>,
    pub(super) next_id: RequestId,
    /// Workers that are there.
    pub(super) begun: usize,
    /// Workers that are gone.
    pub(super) gone: usize,
    /// Workers whose session could not be made anew at once after a fault.
    pub(super) broken: usize,
    pub(super) draining: bool,
    pub(super) stop: bool,
}

/// What can be done about a batch that is being run.
pub(super) struct Run {
    pub(super) stop: Option<Arc<dyn Stop>>,
    pub(super) turn: Turn,
}

/// The outputs of a request by the rows that they are of, in the order in which they were computed.
pub(super) type Parts = Vec<(Range<usize>, Vec<Tensor>)>;
pub(super) type Reply = Result<Parts, EngineError>;

/// A request that was taken in. Its permits live in here: they go when the request does.
pub(super) struct Pending {
    pub(super) inputs: Arc<Vec<Tensor>>,
    pub(super) done: Parts,
    pub(super) reply: oneshot::Sender<Reply>,
    /// The caller's, so that the log says which request it was.
    pub(super) span: tracing::Span,
    pub(super) submitted: Instant,
    /// Whether its first row has been taken by a worker.
    pub(super) taken: bool,
    pub(super) queued: Held,
}

/// What a worker is to run.
pub(super) struct Job {
    pub(super) batch: BatchId,
    pub(super) parts: Vec<(RequestId, Range<usize>, Arc<Vec<Tensor>>)>,
    /// The callers' spans, in the order of the parts.
    pub(super) spans: Vec<tracing::Span>,
}

impl Job {
    /// A span for the run, in the trace of the first request and linked to those of the others.
    ///
    /// At the level of debug, so that it costs nothing where traces are not exported.
    pub(super) fn span(&self, graph: &str) -> tracing::Span {
        let Some((first, others)) = self.spans.split_first() else { return tracing::Span::none() };
        let rows: usize = self.parts.iter().map(|(_, rows, _)| rows.len()).sum();
        let span = tracing::debug_span!(parent: first, "batch", graph, requests = self.spans.len(), rows);
        for other in others {
            span.follows_from(other);
        }
        span
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every worker is without a session, and none is to be had at once, or in a run that does not end.
    pub(super) fn none_serves(&self, state: &State) -> bool {
        state.broken + state.scheduler.stuck().count() >= self.workers
    }

    /// What callers are told while [none serves](Self::none_serves).
    pub(super) fn out_of_order(&self) -> EngineError {
        EngineError::Loading(format!("{} is being rebuilt after a fault, or stuck in a run", self.setup.name))
    }

    /// Lets the scheduler take in an event and does what it says. Returns the job, if one is to be run.
    pub(super) fn step(&self, state: &mut State, event: Event) -> Option<Job> {
        let mut job = None;
        for action in state.scheduler.step(Instant::now(), event) {
            match action {
                Action::Run { batch, parts } => {
                    // What is run in parts has waited until its first part was taken.
                    for (id, _) in parts.iter().filter(|(_, rows)| rows.start == 0) {
                        if let Some(pending) = state.pending.get_mut(id) {
                            let waited = pending.submitted.elapsed();
                            pending.taken = true;
                            self.counts.queued_time.add(waited);
                            self.counts.queue.time(waited);
                        }
                    }
                    let pending = |(id, rows)| {
                        let pending = state.pending.get(&id)?;
                        Some(((id, rows, Arc::clone(&pending.inputs)), pending.span.clone()))
                    };
                    let (parts, spans) = parts.into_iter().filter_map(pending).unzip();
                    job = Some(Job { batch, parts, spans });
                }
                Action::Terminate { batch } => {
                    if let Some(stop) = state.running.get(&batch).and_then(|run| run.stop.as_ref()) {
                        tracing::debug!(
                            graph = self.setup.name,
                            batch,
                            "nobody waits for this batch: stopped"
                        );
                        stop.stop();
                    }
                }
                Action::Refuse { id, why } => {
                    self.counts.refused.add(1);
                    let error = match why {
                        Refusal::Full { retry_after } => EngineError::QueueFull { retry_after },
                        Refusal::Late => EngineError::DeadlineExceeded,
                        Refusal::Draining => EngineError::Draining,
                    };
                    state.reply(&self.setup.name, id, |_| Err(error));
                }
                Action::Fail { id, why } => {
                    state.pending.get(&id).inspect(|p| self.counts.failed_time.add(p.submitted.elapsed()));
                    let error = match why {
                        Failure::Expired => {
                            self.counts.expired.add(1);
                            EngineError::DeadlineExceeded
                        }
                        Failure::Batch => {
                            self.counts.failed.add(1);
                            EngineError::Runtime(format!("{} failed on this request", self.setup.name))
                        }
                        Failure::Stuck => {
                            self.counts.failed.add(1);
                            tracing::error!(graph = self.setup.name, "a run takes too long and is given up");
                            EngineError::Runtime(format!(
                                "{} took too long and was given up",
                                self.setup.name
                            ))
                        }
                        Failure::Aborted if state.stop => {
                            self.counts.failed.add(1);
                            EngineError::Draining
                        }
                        Failure::Aborted => {
                            self.counts.failed.add(1);
                            self.out_of_order()
                        }
                    };
                    state.reply(&self.setup.name, id, |_| Err(error));
                }
                Action::Answer { id } => {
                    self.counts.answered.add(1);
                    self.counts.last_answer.now();
                    state.pending.get(&id).inspect(|p| self.counts.answered_time.add(p.submitted.elapsed()));
                    state.reply(&self.setup.name, id, Ok);
                }
            }
        }
        job
    }
}

impl State {
    fn reply(&mut self, graph: &str, id: RequestId, answer: impl FnOnce(Parts) -> Reply) {
        if let Some(Pending { done, reply, span, submitted, queued, .. }) = self.pending.remove(&id) {
            let answer = answer(done);
            let elapsed = submitted.elapsed();
            span.in_scope(|| match &answer {
                Ok(_) => tracing::debug!(graph, ?elapsed, "answered"),
                Err(error) => tracing::debug!(graph, ?elapsed, %error, "not answered"),
            });
            // The permit is free before the client hears of it, who may come again at once.
            drop(queued);
            // Whoever asked may be gone: then there is nobody to tell.
            let _ = reply.send(answer);
        }
    }
}

/// Puts the outputs of a request's parts together, in the order of its rows.
pub(super) fn assemble(mut parts: Parts) -> Result<Vec<Tensor>, EngineError> {
    if parts.len() == 1 {
        return Ok(parts.pop().map(|(_, outputs)| outputs).unwrap_or_default());
    }
    parts.sort_by_key(|(range, _)| range.start);
    let count = parts.first().map_or(0, |(_, outputs)| outputs.len());
    (0..count)
        .map(|i| {
            let pieces: Vec<(&Tensor, Range<usize>)> =
                parts.iter().filter_map(|(r, outputs)| outputs.get(i).map(|t| (t, 0..r.len()))).collect();
            crate::rows::join(&pieces)
        })
        .collect()
}

/// Takes a request out of the queue when its caller loses interest.
pub(super) struct CancelOnDrop<'a> {
    pub(super) shared: &'a Shared,
    pub(super) id: Option<RequestId>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.shared.state();
            self.shared.step(&mut state, Event::Cancel { id });
            if state.pending.remove(&id).is_some() {
                self.shared.counts.cancelled.add(1);
            }
        }
    }
}
