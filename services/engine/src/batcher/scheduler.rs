//! Which rows run next: a pure state machine, without clocks, threads or channels.
//!
//! Requests wait in the order of their deadlines; those without one as if it were [`PATIENCE`] after they
//! came, so that none waits for ever behind newer ones. A priority is worth [`PATIENCE`] in that order. A batch is formed only when a worker asks for one
//! (late binding), at once from what is there. A request of more rows than a batch holds is run in parts.
//! What expires or is cancelled leaves at once, also while every worker is busy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::Priority;

/// The deadline by which a request without one is ordered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How much weight a new measurement of the pace has.
const NEW_PACE: f64 = 0.2;

pub(crate) type RequestId = u64;
pub(crate) type BatchId = u64;

/// Bounds of the queue and of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows that may wait.
    pub(crate) rows: usize,
    /// Requests that may wait.
    pub(crate) requests: usize,
    /// Rows in a batch.
    pub(crate) batch: usize,
    /// Workers that run batches at the same time.
    pub(crate) workers: usize,
}

/// What happens to the scheduler.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request of so many rows, at least 1.
    Submit { id: RequestId, rows: usize, deadline: Option<Instant>, priority: Priority },
    /// Its caller went away.
    Cancel { id: RequestId },
    /// Time passed.
    Tick,
    /// A worker is free.
    Take,
    /// A batch is through.
    Done { batch: BatchId, ok: bool },
    /// No more requests from here on.
    Drain,
    /// Give up what is there.
    Abort,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// The request was not taken in.
    Refuse { id: RequestId, why: Refusal },
    /// The worker that asked is to run these rows of these requests.
    Run { batch: BatchId, parts: Vec<(RequestId, Range<usize>)> },
    /// All rows of the request are done.
    Answer { id: RequestId },
    /// The request has no answer.
    Fail { id: RequestId, why: Failure },
}

/// Why a request was not taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    /// As much waits as may wait.
    Full { retry_after: Duration },
    /// The deadline passed, or will have before its turn comes.
    Late,
    /// No more requests are taken in.
    Draining,
}

/// Why a request that was taken in has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The deadline passed.
    Expired,
    /// The batch failed that some of its rows were in.
    Batch,
    /// It was given up.
    Aborted,
}

/// Order in the queue: by deadline and priority, then by arrival.
type Turn = (Instant, RequestId);

#[derive(Debug)]
struct Entry {
    rows: usize,
    taken: usize,
    done: usize,
    deadline: Option<Instant>,
    turn: Turn,
}

#[derive(Debug)]
struct Batch {
    started: Instant,
    rows: usize,
    parts: Vec<(RequestId, usize)>,
}

/// The state machine. Ids must grow from request to request.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: Limits,
    entries: BTreeMap<RequestId, Entry>,
    queue: BTreeMap<Turn, RequestId>,
    batches: BTreeMap<BatchId, Batch>,
    queued_rows: usize,
    next_batch: BatchId,
    draining: bool,
    /// Seconds for one row, by the recent batches; 0 until there was one.
    pace: f64,
}

impl Scheduler {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            queue: BTreeMap::new(),
            batches: BTreeMap::new(),
            queued_rows: 0,
            next_batch: 0,
            draining: false,
            pace: 0.0,
        }
    }

    /// Takes in one event; says what is to be done, in this order.
    pub(crate) fn step(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        // Before anything else: what is expired must not be run, nor keep anyone out.
        self.expire(now, &mut actions);
        match event {
            Event::Submit { id, rows, deadline, priority } => {
                self.submit(now, (rank(now, deadline, priority), id), rows, deadline, &mut actions);
            }
            Event::Cancel { id } => self.remove(id),
            Event::Tick => {}
            Event::Take => self.take(now, &mut actions),
            Event::Done { batch, ok } => self.done(now, batch, ok, &mut actions),
            Event::Drain => self.draining = true,
            Event::Abort => {
                for id in self.entries.keys().copied().collect::<Vec<_>>() {
                    self.remove(id);
                    actions.push(Action::Fail { id, why: Failure::Aborted });
                }
            }
        }
        actions
    }

    /// Rows that wait for a worker.
    pub(crate) fn queued_rows(&self) -> usize {
        self.queued_rows
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.batches.is_empty()
    }

    fn submit(
        &mut self,
        now: Instant,
        turn: Turn,
        rows: usize,
        deadline: Option<Instant>,
        actions: &mut Vec<Action>,
    ) {
        let (_, id) = turn;
        let full = self.queue.len() >= self.limits.requests || self.queued_rows + rows > self.limits.rows;
        let why = if self.draining {
            Refusal::Draining
        } else if deadline.is_some_and(|d| d <= now + self.wait(turn)) {
            Refusal::Late
        } else if full {
            Refusal::Full { retry_after: self.time_for(self.queued_rows).max(Duration::from_millis(10)) }
        } else {
            self.entries.insert(id, Entry { rows, taken: 0, done: 0, deadline, turn });
            self.queue.insert(turn, id);
            self.queued_rows += rows;
            return;
        };
        actions.push(Action::Refuse { id, why });
    }

    /// How long the rows before this turn will take, by the recent pace.
    fn wait(&self, turn: Turn) -> Duration {
        let ahead: usize = self
            .queue
            .range(..turn)
            .filter_map(|(_, id)| self.entries.get(id).map(|e| e.rows.saturating_sub(e.taken)))
            .sum();
        self.time_for(ahead)
    }

    fn time_for(&self, rows: usize) -> Duration {
        let seconds = self.pace * rows as f64 / self.limits.workers.max(1) as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(PATIENCE)
    }

    fn take(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut parts: Vec<(RequestId, Range<usize>)> = Vec::new();
        let mut room = self.limits.batch.max(1);
        while let Some((&turn, &id)) = self.queue.first_key_value() {
            let Some(entry) = self.entries.get_mut(&id) else {
                self.queue.remove(&turn);
                continue;
            };
            let left = entry.rows - entry.taken;
            // A request that fits a batch is not torn to fill up this one: it would wait for both.
            if room == 0 || (!parts.is_empty() && left > room && left <= self.limits.batch) {
                break;
            }
            let n = left.min(room);
            parts.push((id, entry.taken..entry.taken + n));
            entry.taken += n;
            room -= n;
            self.queued_rows -= n;
            if entry.taken == entry.rows {
                self.queue.remove(&turn);
            }
        }
        if parts.is_empty() {
            return;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        let sizes: Vec<(RequestId, usize)> = parts.iter().map(|(id, r)| (*id, r.len())).collect();
        let rows = sizes.iter().map(|(_, n)| n).sum();
        self.batches.insert(batch, Batch { started: now, rows, parts: sizes });
        actions.push(Action::Run { batch, parts });
    }

    fn done(&mut self, now: Instant, batch: BatchId, ok: bool, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.remove(&batch) else { return };
        if ok && batch.rows > 0 {
            let pace = now.saturating_duration_since(batch.started).as_secs_f64() / batch.rows as f64;
            self.pace = if self.pace == 0.0 { pace } else { self.pace + NEW_PACE * (pace - self.pace) };
        }
        for (id, n) in batch.parts {
            // Whoever was cancelled or failed meanwhile is no more in there.
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if !ok {
                self.remove(id);
                actions.push(Action::Fail { id, why: Failure::Batch });
                continue;
            }
            entry.done += n;
            if entry.done == entry.rows {
                self.remove(id);
                actions.push(Action::Answer { id });
            }
        }
    }

    fn expire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let due: Vec<RequestId> = self
            .entries
            .iter()
            .filter(|(_, e)| e.deadline.is_some_and(|d| d <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.remove(id);
            actions.push(Action::Fail { id, why: Failure::Expired });
        }
    }

    fn remove(&mut self, id: RequestId) {
        if let Some(entry) = self.entries.remove(&id)
            && self.queue.remove(&entry.turn).is_some()
        {
            self.queued_rows -= entry.rows - entry.taken;
        }
    }
}

/// The instant by which a request that comes now is ordered.
fn rank(now: Instant, deadline: Option<Instant>, priority: Priority) -> Instant {
    let patient = now + PATIENCE;
    let rank = deadline.unwrap_or(patient);
    match priority {
        Priority::Normal => rank,
        // Bounded, or a far deadline would make little of a priority.
        Priority::High => rank.min(patient).checked_sub(PATIENCE).unwrap_or(now),
        Priority::Low => rank.min(patient) + PATIENCE,
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
