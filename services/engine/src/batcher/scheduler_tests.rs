use super::*;

#[path = "scheduler_oracle.rs"]
mod oracle;

type Parts = Vec<Part>;

fn limits() -> Limits {
    Limits {
        rows: 16,
        requests: 8,
        bytes: 1000,
        workers: 1,
        longest_run: Duration::from_secs(60),
        delay: Duration::ZERO,
    }
}

/// Batches of up to `max` rows, of which nothing was measured yet.
fn batches_of(max: usize) -> Costs {
    Costs::new((1..=max).map(|n| (n, None)))
}

fn scheduler() -> Scheduler {
    Scheduler::new(limits(), batches_of(4))
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn request(id: u64, rows: usize, deadline: Option<Instant>, priority: Priority) -> Request {
    Request { id, rows, bytes: rows, deadline, priority }
}

fn submit(s: &mut Scheduler, now: Instant, id: u64, rows: usize, deadline: Option<Instant>) -> Vec<Action> {
    s.step(now, Event::Submit(request(id, rows, deadline, Priority::Normal)))
}

fn run_of(actions: &[Action]) -> (BatchId, Parts) {
    match actions {
        [Action::Run { batch, parts }] => (*batch, parts.clone()),
        other => panic!("one run expected, not {other:?}"),
    }
}

#[test]
fn rows_are_shared_by_workers_that_are_idle_and_one_that_is_alone_takes_them_all() {
    let t = Instant::now();
    let costs = || Costs::new((1..=8).map(|n| (n, Some(3e-4 + n as f64 * 1e-3))));
    let mut s = Scheduler::new(Limits { workers: 2, ..limits() }, costs());
    // One request of several rows, and several of one.
    submit(&mut s, t, 1, 6, None);
    let (first, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, [(1, 0..3)]);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, [(1, 3..6)]);
    let t = t + Duration::from_micros(3300);
    assert!(s.step(t, Event::Done { batch: first, ok: true }).is_empty(), "the other half is still running");
    for id in 2..6 {
        submit(&mut s, t, id, 1, None);
    }
    // The other worker is busy.
    assert_eq!(run_of(&s.step(t, Event::Take)).1, [(2, 0..1), (3, 0..1), (4, 0..1), (5, 0..1)]);
}

#[test]
fn without_a_delay_rows_are_ready_when_they_come() {
    let (mut s, t) = (scheduler(), Instant::now());
    assert_eq!(s.ready(t), Ready::Never);
    submit(&mut s, t, 1, 1, None);
    assert_eq!(s.ready(t), Ready::Now);
    s.step(t, Event::Take);
    assert_eq!(s.ready(t), Ready::Never);
}

#[test]
fn few_rows_wait_for_company_as_long_as_is_allowed_and_a_full_batch_does_not() {
    let t = Instant::now();
    let mut s = Scheduler::new(Limits { delay: ms(5), ..limits() }, batches_of(4));
    submit(&mut s, t, 1, 1, None);
    assert_eq!(s.ready(t), Ready::At(t + ms(5)));
    submit(&mut s, t + ms(2), 2, 2, None);
    assert_eq!(s.ready(t + ms(2)), Ready::At(t + ms(5)), "as long as the first may");
    assert_eq!(s.ready(t + ms(5)), Ready::Now);
    submit(&mut s, t + ms(3), 3, 1, None);
    assert_eq!(s.ready(t + ms(3)), Ready::Now, "four rows fill a batch");
    let (batch, _) = run_of(&s.step(t + ms(3), Event::Take));
    submit(&mut s, t + ms(4), 4, 1, None);
    assert_eq!(s.ready(t + ms(4)), Ready::At(t + ms(9)), "those that run do not count");
    s.step(t + ms(4), Event::Done { batch, ok: false });
    assert_eq!(s.ready(t + ms(4)), Ready::Now, "halves of what failed wait for nobody");
}

#[test]
fn nobody_is_late_for_the_sake_of_company() {
    let t = Instant::now();
    let mut s = Scheduler::new(Limits { delay: ms(50), ..limits() }, batches_of(4));
    submit(&mut s, t, 1, 1, None);
    submit(&mut s, t, 2, 1, Some(t + ms(20)));
    assert_eq!(s.ready(t), Ready::At(t + ms(17)), "some of its time is kept for the way back");
    s.step(t, Event::Cancel { id: 2 });
    assert_eq!(s.ready(t), Ready::At(t + ms(50)));
    submit(&mut s, t, 3, 1, Some(t + ms(20)));
    run_of(&s.step(t, Event::Take));
    submit(&mut s, t, 4, 1, None);
    assert_eq!(s.ready(t), Ready::At(t + ms(50)), "the deadline of one that runs does not count");
    s.step(t, Event::Drain);
    assert_eq!(s.ready(t), Ready::Now, "nobody is to come any more");
}

#[test]
fn who_would_be_late_even_if_it_ran_at_once_gives_way_to_those_who_need_not_be() {
    let t = Instant::now();
    // 10 ms a row.
    let mut s = Scheduler::new(limits(), Costs::new((1..=2).map(|n| (n, Some(n as f64 * 0.01)))));
    submit(&mut s, t, 1, 2, None);
    let (first, _) = run_of(&s.step(t, Event::Take));
    for (id, rows, within) in [(2, 1, 60), (3, 2, 65), (4, 2, 100)] {
        assert!(submit(&mut s, t, id, rows, Some(t + ms(within))).is_empty());
    }
    // It took longer than it should.
    let t = t + ms(52);
    s.step(t, Event::Done { batch: first, ok: false });
    let late = |id| Action::Fail { id, why: Failure::Expired };
    let actions = s.step(t, Event::Take);
    let Some((Action::Run { batch, parts }, [])) = actions[2..].split_first() else { panic!("{actions:?}") };
    assert_eq!((&actions[..2], parts.as_slice()), (&[late(2), late(3)][..], &[(4, 0..2)][..]));
    s.step(t, Event::Done { batch: *batch, ok: true });
    // Alone it makes nobody late.
    submit(&mut s, t, 5, 2, Some(t + ms(30)));
    assert_eq!(run_of(&s.step(t + ms(25), Event::Take)).1, [(5, 0..2)]);
    assert_eq!((s.queued_rows(), s.held_bytes()), (0, 2));
}

#[test]
fn the_earliest_deadline_goes_first_and_no_deadline_last() {
    let (mut s, t) = (scheduler(), Instant::now());
    assert!(submit(&mut s, t, 1, 2, None).is_empty());
    assert!(submit(&mut s, t, 2, 1, Some(t + ms(50))).is_empty());
    assert!(submit(&mut s, t, 3, 1, Some(t + ms(20))).is_empty());
    let (_, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, vec![(3, 0..1), (2, 0..1), (1, 0..2)]);
}

#[test]
fn a_priority_goes_before_deadlines_and_within_it_they_count() {
    let (mut s, t) = (Scheduler::new(limits(), batches_of(1)), Instant::now());
    let asks = [
        (1, None, Priority::Low),
        (2, Some(t + ms(1)), Priority::Low),
        (3, None, Priority::Normal),
        (4, Some(t + ms(40)), Priority::Normal),
        (5, Some(t + 4 * PATIENCE), Priority::High),
        (6, Some(t + ms(900)), Priority::High),
    ];
    for (id, deadline, priority) in asks {
        assert!(s.step(t, Event::Submit(request(id, 1, deadline, priority))).is_empty());
    }
    let order: Vec<RequestId> = asks.iter().map(|_| run_of(&s.step(t, Event::Take)).1[0].0).collect();
    assert_eq!(order, [6, 5, 4, 3, 2, 1]);
}

#[test]
fn who_can_wait_for_minutes_is_not_behind_those_who_do_not_say() {
    let (mut s, t) = (Scheduler::new(limits(), batches_of(1)), Instant::now());
    submit(&mut s, t, 1, 1, Some(t + 10 * PATIENCE));
    submit(&mut s, t + ms(1), 2, 1, None);
    submit(&mut s, t + ms(2), 3, 1, Some(t + 20 * PATIENCE));
    s.step(t + ms(3), Event::Submit(request(4, 1, None, Priority::Low)));
    let order: Vec<RequestId> = (0..4).map(|_| run_of(&s.step(t + ms(3), Event::Take)).1[0].0).collect();
    assert_eq!(order, [1, 2, 3, 4]);
}

#[test]
fn a_low_priority_does_not_wait_for_ever() {
    let (mut s, t) = (Scheduler::new(limits(), batches_of(1)), Instant::now());
    s.step(t, Event::Submit(request(1, 1, None, Priority::Low)));
    let later = t + 2 * PATIENCE;
    submit(&mut s, later, 2, 1, Some(later + ms(1)));
    assert_eq!(run_of(&s.step(later, Event::Take)).1, vec![(1, 0..1)]);
}

#[test]
fn a_request_without_deadline_does_not_wait_for_ever() {
    let (mut s, t) = (Scheduler::new(limits(), batches_of(1)), Instant::now());
    submit(&mut s, t, 1, 1, None);
    let later = t + PATIENCE;
    submit(&mut s, later, 2, 1, Some(later + ms(1)));
    let (_, parts) = run_of(&s.step(later, Event::Take));
    assert_eq!(parts, vec![(1, 0..1)]);
}

#[test]
fn more_rows_than_a_batch_holds_are_run_in_parts_and_answered_once() {
    let (mut s, t) = (scheduler(), Instant::now());
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
    let (mut s, t) = (scheduler(), Instant::now());
    submit(&mut s, t, 1, 3, None);
    submit(&mut s, t, 2, 2, None);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(1, 0..3)]);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(2, 0..2)]);
}

#[test]
fn what_expires_leaves_while_the_worker_is_busy_and_is_never_run() {
    let (mut s, t) = (scheduler(), Instant::now());
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
    let (mut s, t) = (scheduler(), Instant::now());
    submit(&mut s, t, 1, 6, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    let cancelled = s.step(t, Event::Cancel { id: 1 });
    assert_eq!(cancelled, vec![Action::Terminate { batch }], "nobody waits for it any more");
    assert_eq!(s.queued_rows(), 0);
    assert!(s.step(t, Event::Tick).is_empty(), "told once");
    assert!(s.step(t, Event::Done { batch, ok: false }).is_empty());
    assert!(s.is_idle());
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let (mut s, t) = (scheduler(), Instant::now());
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
fn a_deadline_that_cannot_be_met_is_refused_at_once() {
    // 8 ms a batch, and 2 ms a row.
    let costs = Costs::new((1..=4).map(|n| (n, Some(0.008 + 0.002 * n as f64))));
    let (mut s, t) = (Scheduler::new(limits(), costs), Instant::now());
    let late = |id| vec![Action::Refuse { id, why: Refusal::Late }];
    assert_eq!(submit(&mut s, t, 1, 1, Some(t)), late(1), "it passed");
    submit(&mut s, t, 2, 4, None);
    run_of(&s.step(t, Event::Take));
    // The worker is busy until 16; then come the rows before it, and its own: 26, of which a part is in reserve.
    assert_eq!(submit(&mut s, t, 3, 1, Some(t + ms(30))), late(3));
    assert!(submit(&mut s, t, 4, 1, Some(t + ms(31))).is_empty());
    assert!(submit(&mut s, t + ms(6), 5, 2, None).is_empty(), "that without a deadline comes after");
    assert_eq!(submit(&mut s, t + ms(6), 6, 2, Some(t + ms(43))), late(6));
    assert!(submit(&mut s, t + ms(6), 7, 2, Some(t + ms(44))).is_empty());
}

#[test]
fn a_worker_without_a_session_or_with_a_run_without_end_shares_nothing_of_what_waits() {
    let t = Instant::now();
    let two = || Scheduler::new(Limits { workers: 2, ..limits() }, Costs::new([(1, Some(0.010))]));
    let late = |id| vec![Action::Refuse { id, why: Refusal::Late }];
    // Alone a worker is busy until 10, and with who waits until 20.
    let mut s = two();
    s.step(t, Event::Lost);
    assert_eq!(s.healthy(), 1);
    submit(&mut s, t, 1, 1, None);
    run_of(&s.step(t, Event::Take));
    assert_eq!(submit(&mut s, t, 2, 1, Some(t + ms(20))), late(2));
    s.step(t, Event::Back);
    assert_eq!(s.healthy(), 2);
    assert!(submit(&mut s, t, 3, 1, Some(t + ms(20))).is_empty(), "the other one has time");
    let mut s = two();
    submit(&mut s, t, 1, 1, None);
    run_of(&s.step(t, Event::Take));
    let t = t + Duration::from_secs(61);
    s.step(t, Event::Tick);
    submit(&mut s, t, 2, 1, None);
    run_of(&s.step(t, Event::Take));
    assert_eq!((s.stuck().count(), s.healthy()), (1, 1));
    assert_eq!(submit(&mut s, t, 3, 1, Some(t + ms(20))), late(3));
    assert!(submit(&mut s, t, 4, 1, Some(t + ms(30))).is_empty());
}

#[test]
fn while_no_worker_has_a_session_requests_are_taken_in_as_if_one_were_back_at_once() {
    let (mut s, t) = (Scheduler::new(limits(), Costs::new([(1, Some(0.010))])), Instant::now());
    s.step(t, Event::Lost);
    assert_eq!(s.healthy(), 0);
    assert!(submit(&mut s, t, 1, 1, Some(t + ms(20))).is_empty());
    assert_eq!(submit(&mut s, t, 2, 1, Some(t + ms(21))).len(), 1, "and one after the other");
}

#[test]
fn who_can_run_at_once_is_not_refused_for_a_bad_moment_long_ago() {
    let (mut s, t) = (Scheduler::new(limits(), Costs::new([(1, Some(9.0))])), Instant::now());
    assert!(submit(&mut s, t, 1, 1, Some(t + ms(20))).is_empty());
    let (batch, _) = run_of(&s.step(t, Event::Take));
    // It is the next who would have to wait, for as long as is believed.
    assert_eq!(submit(&mut s, t, 2, 1, Some(t + ms(20))).len(), 1);
    s.step(t + ms(10), Event::Done { batch, ok: true });
    assert!(submit(&mut s, t + ms(10), 3, 1, Some(t + ms(30))).is_empty());
}

#[test]
fn bytes_are_bounded_until_the_answer_and_one_large_request_is_let_in_alone() {
    let (mut s, t) = (scheduler(), Instant::now());
    let large = |id, bytes| Event::Submit(Request { bytes, ..request(id, 1, None, Priority::Normal) });
    assert!(s.step(t, large(1, 5000)).is_empty());
    assert!(matches!(s.step(t, large(2, 1))[..], [Action::Refuse { id: 2, why: Refusal::Full { .. } }]));
    let (batch, _) = run_of(&s.step(t, Event::Take));
    assert!(matches!(s.step(t, large(3, 1))[..], [Action::Refuse { id: 3, .. }]), "it runs, and is held");
    assert_eq!(s.step(t, Event::Done { batch, ok: true }), vec![Action::Answer { id: 1 }]);
    assert_eq!(s.held_bytes(), 0);
    assert!(s.step(t, large(4, 600)).is_empty());
    assert!(s.step(t, large(5, 400)).is_empty());
    assert_eq!(s.step(t, large(6, 1)).len(), 1);
    s.step(t, Event::Cancel { id: 5 });
    assert!(s.step(t, large(7, 400)).is_empty());
}

#[test]
fn as_many_rows_run_as_is_cheapest() {
    // Padding three rows to four costs more than two batches.
    let costs = Costs::new([(1, Some(0.001)), (2, Some(0.0015)), (4, Some(0.008))]);
    let (mut s, t) = (Scheduler::new(limits(), costs), Instant::now());
    for id in 1..=3 {
        submit(&mut s, t, id, 1, None);
    }
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(1, 0..1)]);
    assert_eq!(run_of(&s.step(t, Event::Take)).1, vec![(2, 0..1), (3, 0..1)]);
}

#[test]
fn a_batch_that_fails_is_halved_until_what_breaks_it_stands_alone() {
    let (mut s, t) = (scheduler(), Instant::now());
    for id in 1..=4 {
        submit(&mut s, t, id, 1, None);
    }
    let (mut answered, mut failed, mut runs) = (Vec::new(), Vec::new(), 0);
    submit(&mut s, t, 5, 4, Some(t + ms(500)));
    // The one with the deadline first.
    let (batch, parts) = run_of(&s.step(t, Event::Take));
    assert_eq!(parts, vec![(5, 0..4)]);
    s.step(t, Event::Done { batch, ok: true });
    while let [Action::Run { batch, parts }] = &s.step(t, Event::Take)[..] {
        runs += 1;
        let ok = parts.iter().all(|(id, _)| *id != 3);
        for action in s.step(t, Event::Done { batch: *batch, ok }) {
            match action {
                Action::Answer { id } => answered.push(id),
                Action::Fail { id, why: Failure::Batch } => failed.push(id),
                other => panic!("{other:?}"),
            }
        }
    }
    // All; 1 and 2; 3 and 4; 3; 4.
    assert_eq!((answered, failed, runs), (vec![1, 2, 4], vec![3], 5));
    assert!(s.is_idle() && !s.has_work());
}

#[test]
fn a_run_without_end_is_given_up_and_counted_as_stuck_until_it_ends() {
    let (mut s, t) = (scheduler(), Instant::now());
    submit(&mut s, t, 1, 1, None);
    let (batch, _) = run_of(&s.step(t, Event::Take));
    assert!(s.step(t + Duration::from_secs(60), Event::Tick).is_empty());
    let late = t + Duration::from_secs(61);
    let given_up = vec![Action::Fail { id: 1, why: Failure::Stuck }, Action::Terminate { batch }];
    assert_eq!(s.step(late, Event::Tick), given_up);
    assert!(s.step(late, Event::Tick).is_empty(), "once");
    assert_eq!(s.stuck().count(), 1);
    assert!(s.step(late, Event::Done { batch, ok: false }).is_empty(), "and is not tried again");
    assert_eq!(s.stuck().count(), 0);
    assert!(s.is_idle());
}

#[test]
fn a_failed_batch_fails_its_own_requests_and_no_others() {
    let (mut s, t) = (scheduler(), Instant::now());
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
    let (mut s, t) = (scheduler(), Instant::now());
    submit(&mut s, t, 1, 1, None);
    s.step(t, Event::Drain);
    assert_eq!(submit(&mut s, t, 2, 1, None), vec![Action::Refuse { id: 2, why: Refusal::Draining }]);
    assert_eq!(s.step(t, Event::Abort), vec![Action::Fail { id: 1, why: Failure::Aborted }]);
    assert!(s.is_idle());
}
