//! Which rows run next: a pure state machine, without clocks, threads or channels.
//!
//! Requests wait in the order of their deadlines; those without one, or with a later one, as if it were [`PATIENCE`]
//! after they came, so that none waits for ever behind newer ones. A priority is worth [`PATIENCE`] in that order. A batch
//! is formed only when a worker asks for one (late binding), from what is there, as large as [`Costs`] say is
//! cheapest: at once, or where a delay is allowed and rows are few, when the first of them has waited so long. Workers
//! that have nothing to do share what is there, where that costs little more. A request of more rows than a batch holds
//! is run in parts. What expires or is cancelled leaves at once, also while every worker is busy; what would expire in
//! its run is not run where others wait; a batch that nobody waits for any more is terminated.
//!
//! A batch that fails is run again in two halves, and those in halves, until what breaks it stands alone: the
//! requests that happened to be with it are answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::cost::Costs;
use super::protocol::{Action, BatchId, Event, Failure, Limits, Part, Ready, Refusal, Request, RequestId};
use crate::Priority;

/// The deadline by which a request without one, or with a later one, is ordered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The part of a caller's time that is kept for the answer's way back and for batches that take longer than the
/// costs say: whoever is let in up to the very deadline is answered just after it, and all behind are late too.
const RESERVE: f64 = 0.15;

/// The least time after which a refused caller is to come again.
const SOONEST: Duration = Duration::from_millis(10);

/// Order in the queue: by deadline and priority, then by arrival.
type Turn = (Instant, RequestId);

#[derive(Debug)]
struct Entry {
    came: Instant,
    rows: usize,
    bytes: usize,
    taken: usize,
    done: usize,
    deadline: Option<Instant>,
    turn: Turn,
}

/// A request in the queue, and how many of its rows are in no batch yet.
#[derive(Debug)]
struct Waiting {
    id: RequestId,
    rows: usize,
}

#[derive(Debug)]
struct Batch {
    started: Instant,
    rows: usize,
    parts: Vec<Part>,
    terminated: bool,
    stuck: bool,
}

/// The state machine. Ids must grow from request to request.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: Limits,
    costs: Costs,
    entries: BTreeMap<RequestId, Entry>,
    queue: BTreeMap<Turn, Waiting>,
    deadlines: BTreeSet<(Instant, RequestId)>,
    /// Halves of failed batches, each to be run alone.
    again: VecDeque<Vec<Part>>,
    batches: BTreeMap<BatchId, Batch>,
    queued_rows: usize,
    held_bytes: usize,
    next_batch: BatchId,
    /// Workers that have a session.
    live: usize,
    draining: bool,
}

impl Scheduler {
    pub(crate) fn new(limits: Limits, costs: Costs) -> Self {
        Self {
            limits,
            costs,
            entries: BTreeMap::new(),
            queue: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            again: VecDeque::new(),
            batches: BTreeMap::new(),
            queued_rows: 0,
            held_bytes: 0,
            next_batch: 0,
            live: limits.workers,
            draining: false,
        }
    }

    /// Takes in one event; says what is to be done, in this order.
    pub(crate) fn step(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        // Before anything else: what is expired must not be run, nor keep anyone out.
        self.expire(now, &mut actions);
        match event {
            Event::Submit(request) => self.submit(now, request, &mut actions),
            Event::Cancel { id } => self.remove(id),
            Event::Tick => self.give_up_stuck(now, &mut actions),
            Event::Take => self.take(now, &mut actions),
            Event::Done { batch, ok } => self.done(now, batch, ok, &mut actions),
            Event::Lost => self.live = self.live.saturating_sub(1),
            Event::Back => self.live += 1,
            Event::Drain => self.draining = true,
            Event::Abort => {
                for id in self.entries.keys().copied().collect::<Vec<_>>() {
                    self.remove(id);
                    actions.push(Action::Fail { id, why: Failure::Aborted });
                }
            }
        }
        self.terminate(&mut actions);
        actions
    }

    /// Whether rows wait for a worker.
    pub(crate) fn has_work(&self) -> bool {
        self.queued_rows > 0 || !self.again.is_empty()
    }

    /// Whether halves of a batch that failed are yet to be run.
    pub(crate) fn has_halves(&self) -> bool {
        !self.again.is_empty()
    }

    /// When a worker that is free is to take a batch.
    pub(crate) fn ready(&self, now: Instant) -> Ready {
        let Limits { delay, .. } = self.limits;
        if !self.has_work() {
            return Ready::Never;
        }
        let enough = self.queued_rows >= self.costs.max() || !self.again.is_empty();
        if enough || delay.is_zero() || self.draining {
            return Ready::Now;
        }
        // Entries are in the order in which they came; only the first few of them are in a batch.
        let waits = |entry: &Entry| entry.taken < entry.rows;
        let first = self.entries.values().find(|entry| waits(entry));
        let mut at = first.map_or(now, |entry| entry.came + delay);
        // Nobody is to be late for the sake of others.
        let first_due = self.deadlines.iter().find(|(_, id)| self.entries.get(id).is_some_and(waits));
        if let Some((deadline, _)) = first_due {
            let spare = deadline.saturating_duration_since(now).mul_f64(1.0 - RESERVE);
            at = at.min(now + spare.saturating_sub(self.costs.time(self.queued_rows)));
        }
        if at <= now { Ready::Now } else { Ready::At(at) }
    }

    /// Batches that were given up because they ran too long, and still do.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = BatchId> {
        self.batches.iter().filter(|(_, batch)| batch.stuck).map(|(id, _)| *id)
    }

    /// Workers that have a session and are not stuck.
    pub(crate) fn healthy(&self) -> usize {
        self.live.saturating_sub(self.stuck().count())
    }

    /// Rows that wait for their first run.
    #[cfg(test)]
    pub(crate) fn queued_rows(&self) -> usize {
        self.queued_rows
    }

    /// Bytes held by requests that wait or run.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.batches.is_empty()
    }

    fn submit(&mut self, now: Instant, request: Request, actions: &mut Vec<Action>) {
        let Request { id, rows, bytes, deadline, priority } = request;
        let turn = (rank(now, deadline, priority), id);
        let too_much = self.held_bytes > 0 && self.held_bytes.saturating_add(bytes) > self.limits.bytes;
        let full = self.queue.len() >= self.limits.requests || self.queued_rows + rows > self.limits.rows;
        let why = if self.draining {
            Refusal::Draining
        } else if deadline.is_some_and(|d| d <= now || self.misses(now, d, turn, rows)) {
            Refusal::Late
        } else if full || too_much {
            let retry_after = self.free_in(now) + self.share(self.queued_rows);
            Refusal::Full { retry_after: retry_after.clamp(SOONEST, PATIENCE) }
        } else {
            self.entries.insert(id, Entry { came: now, rows, bytes, taken: 0, done: 0, deadline, turn });
            self.queue.insert(turn, Waiting { id, rows });
            self.deadlines.extend(deadline.map(|d| (d, id)));
            self.queued_rows += rows;
            self.held_bytes += bytes;
            return;
        };
        actions.push(Action::Refuse { id, why });
    }

    /// Whether a request with this turn would, by the costs, be answered after its deadline.
    fn misses(&self, now: Instant, deadline: Instant, turn: Turn, rows: usize) -> bool {
        let ahead: usize = self.queue.range(..turn).map(|(_, waiting)| waiting.rows).sum();
        let free_in = self.free_in(now);
        // Whoever can run at once is let in: it costs nobody anything, and a cost that was measured in a bad
        // moment is measured anew.
        if ahead == 0 && self.idle() > 0 {
            return false;
        }
        let left = deadline.saturating_duration_since(now).mul_f64(1.0 - RESERVE);
        free_in + self.share(ahead) + self.costs.time(rows) >= left
    }

    /// Workers that what waits is for: at least one, since whoever is without a session will be back.
    fn able(&self) -> usize {
        self.healthy().max(1)
    }

    /// How many of them run nothing.
    fn idle(&self) -> usize {
        self.able().saturating_sub(self.batches.values().filter(|batch| !batch.stuck).count())
    }

    /// When a worker will have time.
    fn free_in(&self, now: Instant) -> Duration {
        if self.idle() > 0 {
            return Duration::ZERO;
        }
        let left = |b: &Batch| (b.started + self.costs.time(b.rows)).saturating_duration_since(now);
        self.batches.values().filter(|batch| !batch.stuck).map(left).min().unwrap_or_default()
    }

    /// What rows cost, shared among the workers.
    fn share(&self, rows: usize) -> Duration {
        self.costs.time(rows) / u32::try_from(self.able()).unwrap_or(1)
    }

    fn take(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let parts = match self.take_again() {
            Some(parts) => parts,
            None => {
                self.give_up_late(now, actions);
                self.take_queued()
            }
        };
        if parts.is_empty() {
            return;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        let rows = parts.iter().map(|(_, range)| range.len()).sum();
        self.batches.insert(
            batch,
            Batch { started: now, rows, parts: parts.clone(), terminated: false, stuck: false },
        );
        actions.push(Action::Run { batch, parts });
    }

    /// The next half of a failed batch, without those who are gone.
    fn take_again(&mut self) -> Option<Vec<Part>> {
        while let Some(mut parts) = self.again.pop_front() {
            parts.retain(|(id, _)| self.entries.contains_key(id));
            if !parts.is_empty() {
                return Some(parts);
            }
        }
        None
    }

    /// Fails those in front who, by the costs, are answered after their deadline if they run now and alone, where others
    /// wait behind them: a run for nobody makes those late too, and so on to the last. Nobody is given up for a cost that
    /// was measured in a bad moment where that helps nobody: it is measured anew.
    fn give_up_late(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while self.queue.len() > 1
            && let Some((_, Waiting { id, rows })) = self.queue.first_key_value()
        {
            let (id, takes) = (*id, self.costs.time((*rows).min(self.costs.max())));
            let deadline = self.entries.get(&id).and_then(|entry| entry.deadline);
            if deadline.is_none_or(|deadline| now + takes <= deadline) {
                break;
            }
            self.remove(id);
            actions.push(Action::Fail { id, why: Failure::Expired });
        }
    }

    fn take_queued(&mut self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let share = self.costs.share(self.queued_rows, self.idle());
        let mut room = self.costs.rows_now(share);
        // A request is one answer: in parts it would have to be cheaper, where others need only be no dearer; or be run by
        // several workers at once.
        let first = self.queue.first_key_value().map_or(0, |(_, waiting)| waiting.rows);
        if share == self.queued_rows && first > room && self.costs.whole(first) {
            room = first;
        }
        while room > 0
            && let Some(mut next) = self.queue.first_entry()
        {
            let Waiting { id, rows } = *next.get();
            // A request that fits a batch is not torn to fill up this one: it would wait for both.
            if !parts.is_empty() && rows > room && rows <= self.costs.max() {
                break;
            }
            let n = rows.min(room);
            next.get_mut().rows -= n;
            if n == rows {
                next.remove();
            }
            room -= n;
            self.queued_rows -= n;
            if let Some(entry) = self.entries.get_mut(&id) {
                parts.push((id, entry.taken..entry.taken + n));
                entry.taken += n;
            }
        }
        parts
    }

    fn done(&mut self, now: Instant, batch: BatchId, ok: bool, actions: &mut Vec<Action>) {
        let Some(mut batch) = self.batches.remove(&batch) else { return };
        // Whoever was cancelled or failed meanwhile is no more in there.
        batch.parts.retain(|(id, _)| self.entries.contains_key(id));
        if !ok {
            return self.failed(batch.parts, actions);
        }
        self.costs.measured(batch.rows, now.saturating_duration_since(batch.started));
        for (id, range) in batch.parts {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.done += range.len();
            if entry.done == entry.rows {
                self.remove(id);
                actions.push(Action::Answer { id });
            }
        }
    }

    /// Has the parts of a failed batch run again in halves; what failed alone has failed.
    fn failed(&mut self, mut parts: Vec<Part>, actions: &mut Vec<Action>) {
        if let [(id, _)] = parts.as_slice() {
            let id = *id;
            self.remove(id);
            actions.push(Action::Fail { id, why: Failure::Batch });
        } else if !parts.is_empty() {
            let second = parts.split_off(parts.len() / 2);
            self.again.push_front(second);
            self.again.push_front(parts);
        }
    }

    fn expire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(due, _)| *due <= now) {
            self.remove(id);
            actions.push(Action::Fail { id, why: Failure::Expired });
        }
    }

    /// Fails those whose batch runs for too long: it may never end.
    fn give_up_stuck(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut failed = Vec::new();
        for batch in self.batches.values_mut().filter(|b| !b.stuck) {
            batch.stuck = now.saturating_duration_since(batch.started) > self.limits.longest_run;
            if batch.stuck {
                failed.extend(batch.parts.iter().map(|(id, _)| *id));
            }
        }
        for id in failed.into_iter().filter(|id| self.entries.contains_key(id)).collect::<BTreeSet<_>>() {
            self.remove(id);
            actions.push(Action::Fail { id, why: Failure::Stuck });
        }
    }

    /// Says of which batches nobody waits for a part any more, once of each.
    fn terminate(&mut self, actions: &mut Vec<Action>) {
        for (id, batch) in self.batches.iter_mut().filter(|(_, b)| !b.terminated) {
            batch.terminated = !batch.parts.iter().any(|(id, _)| self.entries.contains_key(id));
            if batch.terminated {
                actions.push(Action::Terminate { batch: *id });
            }
        }
    }

    fn remove(&mut self, id: RequestId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.held_bytes -= entry.bytes;
        if let Some(waiting) = self.queue.remove(&entry.turn) {
            self.queued_rows -= waiting.rows;
        }
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        // A worker that finds nothing but halves of those who are gone would be woken for nothing.
        if !self.again.is_empty() {
            self.again.retain(|parts| parts.iter().any(|(id, _)| self.entries.contains_key(id)));
        }
    }
}

/// The instant by which a request that comes now is ordered.
fn rank(now: Instant, deadline: Option<Instant>, priority: Priority) -> Instant {
    let patient = now + PATIENCE;
    // Who says how long it can wait is not worse off than who does not, and a priority is worth the same to both.
    let rank = deadline.map_or(patient, |deadline| deadline.min(patient));
    match priority {
        Priority::Normal => rank,
        Priority::High => rank.checked_sub(PATIENCE).unwrap_or(now),
        Priority::Low => rank + PATIENCE,
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
