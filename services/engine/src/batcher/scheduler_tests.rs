use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

type Parts = Vec<(RequestId, Range<usize>)>;

fn limits() -> Limits {
    Limits { rows: 16, requests: 8, batch: 4, workers: 1 }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn submit(s: &mut Scheduler, now: Instant, id: u64, rows: usize, deadline: Option<Instant>) -> Vec<Action> {
    s.step(now, Event::Submit { id, rows, deadline, priority: Priority::Normal })
}

fn run_of(actions: &[Action]) -> (BatchId, Parts) {
    match actions {
        [Action::Run { batch, parts }] => (*batch, parts.clone()),
        other => panic!("one run expected, not {other:?}"),
    }
}

#[test]
fn the_earliest_deadline_goes_first_and_no_deadline_last() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    assert!(submit(&mut s, t, 1, 2, None).is_empty());
    assert!(submit(&mut s, t, 2, 1, Some(t + ms(50))).is_empty());
    assert!(submit(&mut s, t, 3, 1, Some(t + ms(20))).is_empty());
    let (_, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, vec![(3, 0..1), (2, 0..1), (1, 0..2)]);
}

#[test]
fn a_priority_goes_before_deadlines_and_within_it_they_count() {
    let (mut s, t) = (Scheduler::new(Limits { batch: 1, ..limits() }), Instant::now());
    let asks = [
        (1, None, Priority::Low),
        (2, Some(t + ms(1)), Priority::Low),
        (3, None, Priority::Normal),
        (4, Some(t + ms(40)), Priority::Normal),
        (5, Some(t + 4 * PATIENCE), Priority::High),
        (6, Some(t + ms(900)), Priority::High),
    ];
    for (id, deadline, priority) in asks {
        assert!(s.step(t, Event::Submit { id, rows: 1, deadline, priority }).is_empty());
    }
    let order: Vec<RequestId> = asks.iter().map(|_| run_of(&s.step(t, Event::Take)).1[0].0).collect();
    assert_eq!(order, [6, 5, 4, 3, 2, 1]);
}

#[test]
fn a_low_priority_does_not_wait_for_ever() {
    let (mut s, t) = (Scheduler::new(Limits { batch: 1, ..limits() }), Instant::now());
    s.step(t, Event::Submit { id: 1, rows: 1, deadline: None, priority: Priority::Low });
    let later = t + 2 * PATIENCE;
    submit(&mut s, later, 2, 1, Some(later + ms(1)));
    assert_eq!(run_of(&s.step(later, Event::Take)).1, vec![(1, 0..1)]);
}

#[test]
fn a_request_without_deadline_does_not_wait_for_ever() {
    let (mut s, t) = (Scheduler::new(Limits { batch: 1, ..limits() }), Instant::now());
    submit(&mut s, t, 1, 1, None);
    let later = t + PATIENCE;
    submit(&mut s, later, 2, 1, Some(later + ms(1)));
    let (_, parts) = run_of(&s.step(later, Event::Take));
    assert_eq!(parts, vec![(1, 0..1)]);
}

#[test]
fn more_rows_than_a_batch_holds_are_run_in_parts_and_answered_once() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 6, None);
    let (a, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, vec![(1, 0..4)]);
    let (b, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, vec![(1, 4..6)]);
    assert!(s.step(t, Event::Done { batch: b, ok: true }).is_empty());
    assert_eq!(s.step(t, Event::Done { batch: a, ok: true }), vec![Action::Answer { id: 1 }]);
    assert!(s.is_idle());
}

#[test]
fn a_request_that_fits_a_batch_is_not_torn_to_fill_another() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 3, None);
    submit(&mut s, t, 2, 2, None);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(1, 0..3)]);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(2, 0..2)]);
}

#[test]
fn what_expires_leaves_while_the_worker_is_busy_and_is_never_run() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 1, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    submit(&mut s, t, 2, 1, Some(t + ms(5)));
    assert!(s.step(t + ms(4), Event::Tick).is_empty());
    assert_eq!(s.step(t + ms(5), Event::Tick), vec![Action::Fail { id: 2, why: Failure::Expired }]);
    assert_eq!(s.queued_rows(), 0);
    assert_eq!(s.step(t + ms(6), Event::Done { batch, ok: true }), vec![Action::Answer { id: 1 }]);
    assert!(s.step(t + ms(6), Event::Take).is_empty());
}

#[test]
fn a_cancelled_request_leaves_at_once_and_its_running_rows_are_dropped() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 6, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    assert!(s.step(t, Event::Cancel { id: 1 }).is_empty());
    assert_eq!(s.queued_rows(), 0);
    assert!(s.step(t, Event::Done { batch, ok: true }).is_empty());
    assert!(s.is_idle());
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 4, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    s.step(t + ms(40), Event::Done { batch, ok: true });
    for id in 2..6 {
        assert!(submit(&mut s, t, id, 4, None).is_empty());
    }
    // 16 rows wait, at 10 ms each.
    let refused = submit(&mut s, t, 6, 1, None);
    assert_eq!(refused, vec![Action::Refuse { id: 6, why: Refusal::Full { retry_after: ms(160) } }]);
}

#[test]
fn a_deadline_that_the_queue_cannot_meet_is_refused_at_once() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 4, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    let t = t + ms(40);
    s.step(t, Event::Done { batch, ok: true });
    submit(&mut s, t, 2, 4, Some(t + ms(100)));
    submit(&mut s, t, 3, 4, None);
    // 40 ms of work before it in the order of deadlines; that without a deadline comes after.
    let late = vec![Action::Refuse { id: 4, why: Refusal::Late }];
    assert!(submit(&mut s, t, 5, 1, Some(t + ms(101))).is_empty());
    assert!(submit(&mut s, t, 6, 1, Some(t + ms(30))).is_empty(), "nothing is before it");
    assert_eq!(submit(&mut s, t, 4, 1, Some(t)), late);
    submit(&mut s, t, 7, 4, Some(t + ms(110)));
    assert_eq!(submit(&mut s, t, 8, 1, Some(t + ms(112))).len(), 0);
    let mut crowded = Scheduler::new(limits());
    crowded.pace = 0.05;
    submit(&mut crowded, t, 1, 4, Some(t + ms(10)));
    assert_eq!(
        submit(&mut crowded, t, 2, 1, Some(t + ms(100))),
        vec![Action::Refuse { id: 2, why: Refusal::Late }]
    );
}

#[test]
fn a_failed_batch_fails_its_own_requests_and_no_others() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 4, None);
    submit(&mut s, t, 2, 1, None);
    let (a, _) = run_of(&s.step(t, Event::Take));
    let (b, _) = run_of(&s.step(t, Event::Take));
    let failed = s.step(t, Event::Done { batch: a, ok: false });
    assert_eq!(failed, vec![Action::Fail { id: 1, why: Failure::Batch }]);
    assert_eq!(s.step(t, Event::Done { batch: b, ok: true }), vec![Action::Answer { id: 2 }]);
}

#[test]
fn draining_refuses_the_new_and_finishes_the_old_and_abort_gives_up() {
    let (mut s, t) = (Scheduler::new(limits()), Instant::now());
    submit(&mut s, t, 1, 1, None);
    s.step(t, Event::Drain);
    assert_eq!(submit(&mut s, t, 2, 1, None), vec![Action::Refuse { id: 2, why: Refusal::Draining }]);
    assert_eq!(s.step(t, Event::Abort), vec![Action::Fail { id: 1, why: Failure::Aborted }]);
    assert!(s.is_idle());
}

/// What the oracle is told to do next.
#[derive(Debug, Clone)]
enum Op {
    Submit { rows: usize, deadline: Option<u64> },
    Cancel(usize),
    Take,
    Done { pick: usize, ok: bool },
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1_usize..10, proptest::option::of(0_u64..60))
            .prop_map(|(rows, deadline)| Op::Submit { rows, deadline }),
        1 => (0_usize..100).prop_map(Op::Cancel),
        4 => Just(Op::Take),
        3 => (0_usize..4, proptest::bool::weighted(0.85)).prop_map(|(pick, ok)| Op::Done { pick, ok }),
        2 => (0_u64..20).prop_map(Op::Pass),
    ]
}

/// A request as a naive observer sees it.
#[derive(Debug, Clone)]
struct Seen {
    rows: usize,
    due: Instant,
    deadline: Option<Instant>,
    run: BTreeSet<usize>,
    finished: BTreeSet<usize>,
    over: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_is_lost_answered_twice_or_run_expired(ops in proptest::collection::vec(op(), 1..150)) {
        let limits = limits();
        let mut s = Scheduler::new(limits);
        let mut now = Instant::now();
        let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
        let mut running: Vec<(BatchId, Parts)> = Vec::new();
        let mut next = 0_u64;
        // After the random part everything left is run to its end.
        let rest = std::iter::repeat_n([Op::Take, Op::Done { pick: 0, ok: true }], 200).flatten();
        for op in ops.into_iter().chain(rest) {
            let mut finishing: Option<(Parts, bool)> = None;
            let event = match op {
                Op::Pass(n) => {
                    now += ms(n);
                    Event::Tick
                }
                Op::Submit { rows, deadline } => {
                    next += 1;
                    let deadline = deadline.map(|d| now + ms(d));
                    let due = deadline.unwrap_or(now + PATIENCE);
                    let fresh = Seen {
                        rows, due, deadline, run: BTreeSet::new(), finished: BTreeSet::new(), over: false,
                    };
                    seen.insert(next, fresh);
                    Event::Submit { id: next, rows, deadline, priority: Priority::Normal }
                }
                Op::Cancel(n) => {
                    let alive: Vec<u64> = seen.iter().filter(|(_, r)| !r.over).map(|(id, _)| *id).collect();
                    let Some(id) = alive.get(n % alive.len().max(1)) else { continue };
                    // One that expires in this very step is told so; the observer takes either.
                    if seen[id].deadline.is_some_and(|d| d <= now) { continue }
                    seen.get_mut(id).unwrap().over = true;
                    Event::Cancel { id: *id }
                }
                Op::Take => Event::Take,
                Op::Done { pick, ok } => {
                    if running.is_empty() { continue }
                    let (batch, parts) = running.remove(pick % running.len());
                    finishing = Some((parts, ok));
                    Event::Done { batch, ok }
                }
            };
            for action in s.step(now, event) {
                match action {
                    Action::Refuse { id, why } => {
                        prop_assert!(!seen[&id].over, "{id} was over already");
                        if why == Refusal::Late {
                            prop_assert!(seen[&id].deadline.is_some());
                        }
                        seen.get_mut(&id).unwrap().over = true;
                    }
                    Action::Run { batch, parts } => {
                        let rows: usize = parts.iter().map(|(_, r)| r.len()).sum();
                        prop_assert!(rows >= 1 && rows <= limits.batch);
                        let last_due = parts.iter().map(|(id, _)| seen[id].due).max().unwrap();
                        for (id, range) in &parts {
                            let r = seen.get_mut(id).unwrap();
                            prop_assert!(!r.over, "{id} was over, and run");
                            prop_assert!(r.deadline.is_none_or(|d| d > now), "{id} was expired, and run");
                            for row in range.clone() {
                                prop_assert!(row < r.rows && r.run.insert(row), "row {row} of {id} ran twice");
                            }
                        }
                        // Nobody who waits had an earlier turn than one who runs.
                        let waiting = seen.values().filter(|r| !r.over && r.run.len() < r.rows);
                        for r in waiting {
                            prop_assert!(r.due >= last_due);
                        }
                        running.push((batch, parts));
                    }
                    Action::Answer { id } => {
                        let (parts, ok) = finishing.clone().unwrap();
                        prop_assert!(ok);
                        let r = seen.get_mut(&id).unwrap();
                        let mine = parts.iter().filter(|(p, _)| *p == id).flat_map(|(_, r)| r.clone());
                        let finished: BTreeSet<usize> = r.finished.iter().copied().chain(mine).collect();
                        prop_assert_eq!(finished.len(), r.rows, "answered before all was done");
                        prop_assert!(!std::mem::replace(&mut r.over, true), "{} answered twice", id);
                    }
                    Action::Fail { id, why } => {
                        let r = seen.get_mut(&id).unwrap();
                        match why {
                            Failure::Expired => prop_assert!(r.deadline.is_some_and(|d| d <= now)),
                            Failure::Batch => prop_assert!(finishing.as_ref().is_some_and(|(_, ok)| !ok)),
                            Failure::Aborted => prop_assert!(false, "nobody aborted"),
                        }
                        prop_assert!(!std::mem::replace(&mut r.over, true), "{} failed twice", id);
                    }
                }
            }
            if let Some((parts, true)) = finishing {
                for (id, range) in parts {
                    seen.get_mut(&id).unwrap().finished.extend(range);
                }
            }
            let waiting: usize = seen.values().filter(|r| !r.over).map(|r| r.rows - r.run.len()).sum();
            prop_assert_eq!(s.queued_rows(), waiting);
            prop_assert!(waiting <= limits.rows);
        }
        prop_assert!(seen.values().all(|r| r.over), "a request was lost");
        prop_assert!(s.is_idle());
    }
}
