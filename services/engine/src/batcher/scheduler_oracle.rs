//! The scheduler beside a naive observer that keeps a list of everything and draws conclusions from it alone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Op {
    Submit { rows: usize, bytes: usize, deadline: Option<u64>, priority: Priority },
    Cancel(usize),
    Take,
    Done { pick: usize, ok: bool },
    Pass(u64),
    Drain,
    Abort,
}

fn op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    // Soon, about when one without a deadline is due, and long after that.
    let within = prop_oneof![4 => 0_u64..60, 1 => 25_000_u64..35_000, 1 => 60_000_u64..600_000];
    let deadline = proptest::option::of(within);
    prop_oneof![
        40 => (1_usize..10, 0_usize..300, deadline, priority)
            .prop_map(|(rows, bytes, deadline, priority)| Op::Submit { rows, bytes, deadline, priority }),
        10 => (0_usize..100).prop_map(Op::Cancel),
        40 => Just(Op::Take),
        30 => (0_usize..4, proptest::bool::weighted(0.8)).prop_map(|(pick, ok)| Op::Done { pick, ok }),
        20 => (0_u64..20).prop_map(Op::Pass),
        2 => (0_u64..40_000).prop_map(Op::Pass),
        1 => Just(Op::Drain),
        1 => Just(Op::Abort),
    ]
}

/// A request as the observer sees it.
#[derive(Debug, Clone)]
struct Seen {
    came: Instant,
    rows: usize,
    bytes: usize,
    /// Who has the least goes first.
    turn: (i64, u64),
    deadline: Option<Instant>,
    /// Rows that ran at least once.
    run: BTreeSet<usize>,
    /// Rows that are in a batch just now.
    running: BTreeSet<usize>,
    finished: BTreeSet<usize>,
    admitted: bool,
    over: bool,
}

impl Seen {
    fn alive(&self) -> bool {
        self.admitted && !self.over
    }
}

#[derive(Default)]
struct World {
    seen: BTreeMap<u64, Seen>,
    batches: Vec<(BatchId, Parts)>,
    /// Parts of failed batches that are to be run again.
    again: Vec<Part>,
    terminated: BTreeSet<BatchId>,
    draining: bool,
}

impl World {
    fn end(&mut self, id: u64) -> Result<(), TestCaseError> {
        let r = self.seen.get_mut(&id).unwrap();
        prop_assert!(!std::mem::replace(&mut r.over, true), "{id} is told twice");
        self.again.retain(|(again, _)| *again != id);
        Ok(())
    }

    /// A batch is to be run.
    fn run(&mut self, now: Instant, batch: BatchId, parts: Parts, max: usize) -> Result<(), TestCaseError> {
        let rows: usize = parts.iter().map(|(_, r)| r.len()).sum();
        prop_assert!((1..=max).contains(&rows));
        let repeated = self.again.contains(&parts[0]);
        for (id, range) in &parts {
            let r = self.seen.get_mut(id).unwrap();
            prop_assert!(r.alive(), "{id} was over, and run");
            prop_assert!(r.deadline.is_none_or(|d| d > now), "{id} was expired, and run");
            for row in range.clone() {
                prop_assert!(row < r.rows && r.running.insert(row), "row {row} of {id} runs twice at a time");
                prop_assert_eq!(r.run.insert(row), !repeated, "a row is run again only if it failed");
            }
        }
        if repeated {
            self.again.retain(|part| !parts.contains(part));
        } else {
            prop_assert!(self.again.is_empty(), "what failed in company is tried again first");
            let last = parts.iter().map(|(id, _)| self.seen[id].turn).max().unwrap();
            let first_waiting =
                self.seen.values().filter(|r| r.alive() && r.run.len() < r.rows).map(|r| r.turn).min();
            prop_assert!(first_waiting.is_none_or(|turn| turn >= last), "somebody was passed over");
        }
        self.batches.push((batch, parts));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nothing_is_lost_told_twice_passed_over_or_run_expired(
        ops in proptest::collection::vec(op(), 1..150),
        workers in 1_usize..4,
        sizes in proptest::collection::btree_set(1_usize..6, 1..4),
        poison in 0_u64..20,
        delay in prop_oneof![Just(0), 1_u64..30],
        known in any::<bool>(),
    ) {
        // Time passes in large steps here, which says nothing of a run.
        let longest_run = Duration::from_secs(1 << 32);
        let limits = Limits { workers, delay: ms(delay), longest_run, ..limits() };
        let max = *sizes.last().unwrap();
        let seconds = |n: usize| known.then_some(3e-4 + n as f64 * 1e-3);
        let mut s = Scheduler::new(limits, Costs::new(sizes.into_iter().map(|n| (n, seconds(n)))));
        let start = Instant::now();
        let mut now = start;
        let mut world = World::default();
        let mut next = 0_u64;
        // After the random part everything left is run to its end; what holds the poisoned request fails.
        let rest = std::iter::repeat_n([Op::Take, Op::Done { pick: 0, ok: true }], 300).flatten();
        for op in ops.into_iter().chain(rest) {
            let mut finishing: Option<(BatchId, Parts, bool)> = None;
            let mut cancelled = None;
            let (mut aborted, mut taking) = (false, false);
            let event = match op {
                Op::Pass(n) => {
                    now += ms(n);
                    Event::Tick
                }
                Op::Submit { rows, bytes, deadline, priority } => {
                    next += 1;
                    // Milliseconds since the start: whoever can wait for longer than half a minute, or does not say, is
                    // due after that; half a minute sooner or later by its priority. Of equals the first.
                    let patience = i64::try_from(deadline.unwrap_or(30_000).min(30_000)).unwrap();
                    let came = i64::try_from((now - start).as_millis()).unwrap();
                    let worth = match priority {
                        Priority::High => -30_000,
                        Priority::Normal => 0,
                        Priority::Low => 30_000,
                    };
                    let turn = (came + patience + worth, next);
                    let deadline = deadline.map(|d| now + ms(d));
                    let (run, running, finished) = Default::default();
                    world.seen.insert(next, Seen {
                        came: now, rows, bytes, turn, deadline, run, running, finished,
                        admitted: false, over: false,
                    });
                    Event::Submit(Request { id: next, rows, bytes, deadline, priority })
                }
                Op::Cancel(n) => {
                    // One that expires in this very step is told so instead.
                    let alive: Vec<u64> = world.seen.iter()
                        .filter(|(_, r)| r.alive() && r.deadline.is_none_or(|d| d > now))
                        .map(|(id, _)| *id)
                        .collect();
                    let Some(id) = alive.get(n % alive.len().max(1)) else { continue };
                    cancelled = Some(*id);
                    Event::Cancel { id: *id }
                }
                Op::Take if world.batches.len() >= workers => continue,
                Op::Take => {
                    taking = true;
                    Event::Take
                }
                Op::Done { pick, ok } => {
                    if world.batches.is_empty() { continue }
                    let (batch, parts) = world.batches.remove(pick % world.batches.len());
                    let ok = ok && parts.iter().all(|(id, _)| *id != poison);
                    finishing = Some((batch, parts, ok));
                    Event::Done { batch, ok }
                }
                Op::Drain => {
                    world.draining = true;
                    Event::Drain
                }
                Op::Abort => {
                    aborted = true;
                    Event::Abort
                }
            };
            let submitted = if let Event::Submit(request) = &event { Some(request.id) } else { None };
            let held: usize = world.seen.values().filter(|r| r.alive()).map(|r| r.bytes).sum();
            let actions = s.step(now, event);
            // Those who expire first of all: they are in no half that is to be run again.
            let expired = |action: &&Action| matches!(action, Action::Fail { why: Failure::Expired, .. });
            for action in actions.iter().filter(expired) {
                let Action::Fail { id, .. } = action else { continue };
                let r = &world.seen[id];
                // Or it would in its run, which would be the next, and make others wait for nothing.
                let (due, turn) = (r.deadline.is_some_and(|d| d <= now), r.turn);
                prop_assert!(due || taking && r.deadline.is_some() && r.run.len() < r.rows);
                world.end(*id)?;
                let mut waiting = world.seen.values().filter(|r| r.alive() && r.run.len() < r.rows);
                prop_assert!(due || waiting.clone().next().is_some() && waiting.all(|r| r.turn > turn));
            }
            if let Some(id) = cancelled {
                world.end(id)?;
            }
            let mut live = Vec::new();
            if let Some((_, parts, ok)) = &finishing {
                for (id, range) in parts {
                    let r = world.seen.get_mut(id).unwrap();
                    range.clone().for_each(|row| { r.running.remove(&row); });
                    if r.alive() {
                        live.push((*id, range.clone()));
                        if *ok {
                            r.finished.extend(range.clone());
                        }
                    }
                }
                if !ok && live.len() > 1 {
                    world.again.extend(live.clone());
                }
            }
            let refused = actions.iter().any(|a| matches!(a, Action::Refuse { .. }));
            if let Some(id) = submitted.filter(|_| !refused) {
                prop_assert!(!world.draining);
                world.seen.get_mut(&id).unwrap().admitted = true;
            }
            for action in actions.into_iter().filter(|a| !expired(&a)) {
                match action {
                    Action::Refuse { id, why } => {
                        prop_assert_eq!(Some(id), submitted);
                        match why {
                            Refusal::Late => prop_assert!(world.seen[&id].deadline.is_some()),
                            Refusal::Draining => prop_assert!(world.draining),
                            Refusal::Full { retry_after } => {
                                prop_assert!(retry_after >= SOONEST && retry_after <= PATIENCE);
                                let r = &world.seen[&id];
                                let alive = || world.seen.values().filter(|r| r.alive() && r.run.len() < r.rows);
                                let rows: usize = alive().map(|r| r.rows - r.run.len()).sum();
                                let full = alive().count() >= limits.requests
                                    || rows + r.rows > limits.rows
                                    || held + r.bytes > limits.bytes;
                                prop_assert!(full, "refused though there is room");
                            }
                        }
                        world.seen.get_mut(&id).unwrap().over = true;
                    }
                    Action::Run { batch, parts } => world.run(now, batch, parts, max)?,
                    Action::Terminate { batch } => {
                        prop_assert!(world.terminated.insert(batch), "terminated twice");
                        let (_, parts) = world.batches.iter().find(|(b, _)| *b == batch).unwrap();
                        prop_assert!(parts.iter().all(|(id, _)| world.seen[id].over), "somebody waits for it");
                    }
                    Action::Answer { id } => {
                        prop_assert!(finishing.as_ref().is_some_and(|(_, _, ok)| *ok));
                        prop_assert_eq!(world.seen[&id].finished.len(), world.seen[&id].rows);
                        world.end(id)?;
                    }
                    Action::Fail { id, why } => {
                        match why {
                            Failure::Batch => prop_assert!(
                                finishing.as_ref().is_some_and(|(_, _, ok)| !ok)
                                    && live.iter().map(|(id, _)| *id).eq([id]),
                                "{} failed for another", id
                            ),
                            Failure::Aborted => prop_assert!(aborted),
                            Failure::Expired | Failure::Stuck => prop_assert!(false, "{:?}", why),
                        }
                        world.end(id)?;
                    }
                }
            }
            let alive = || world.seen.values().filter(|r| r.alive());
            prop_assert_eq!(s.queued_rows(), alive().map(|r| r.rows - r.run.len()).sum::<usize>());
            prop_assert_eq!(s.held_bytes(), alive().map(|r| r.bytes).sum::<usize>());
            prop_assert_eq!(s.has_work(), s.queued_rows() > 0 || !world.again.is_empty());
            // A worker that is free waits for company at most as long as the first who waits may.
            match s.ready(now) {
                Ready::Never => prop_assert!(!s.has_work()),
                Ready::Now => prop_assert!(s.has_work()),
                Ready::At(at) => {
                    let waiting = alive().filter(|r| r.run.len() < r.rows).map(|r| r.came + limits.delay);
                    prop_assert!(at > now && waiting.min().is_some_and(|latest| at <= latest));
                    prop_assert!(s.queued_rows() < max && world.again.is_empty() && !world.draining);
                }
            }
            // Whoever nobody waits for is stopped at once.
            for (batch, parts) in &world.batches {
                let idle = parts.iter().all(|(id, _)| world.seen[id].over);
                prop_assert_eq!(idle, world.terminated.contains(batch));
            }
        }
        prop_assert!(world.seen.values().all(|r| r.over), "a request was lost");
        prop_assert!(s.is_idle() && !s.has_work());
        prop_assert_eq!((s.queued_rows(), s.held_bytes()), (0, 0));
    }
}
