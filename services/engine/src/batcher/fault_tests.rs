//! What becomes of callers where runs fail, hang, or end in panic.

use super::*;

#[tokio::test]
async fn an_error_or_panic_fails_its_batch_and_the_next_is_served() {
    let bench = Bench::new(64);
    for (order, made) in [(Order::Fail, 1), (Order::Panic, 2)] {
        let bad = bench.ask(1, 1, None);
        bench.begun().await;
        let waiting = bench.ask(2, 1, None);
        bench.queued(2).await;
        bench.orders.send(order).unwrap();
        assert!(matches!(bad.await.unwrap(), Err(EngineError::Runtime(_))));
        bench.begun().await;
        bench.orders.send(Order::Go).unwrap();
        assert_eq!(values(waiting.await), [4.0]);
        assert_eq!(bench.handle.health(), Health::Ready);
        assert_eq!(bench.made.load(Ordering::SeqCst), made, "only after a panic nobody knows what is left");
    }
    bench.finish();
}

impl Bench {
    async fn fails(&self) {
        let bad = self.ask(1, 1, None);
        self.orders.send(Order::Fail).unwrap();
        assert!(matches!(bad.await.unwrap(), Err(EngineError::Runtime(_))));
    }

    /// The sizes that were run to try a session.
    fn tried(&self) -> Vec<usize> {
        self.warmed.seen().into_iter().map(|(_, rows)| rows).collect()
    }
}

#[tokio::test]
async fn a_bad_request_again_and_again_costs_no_session_and_leaves_health_ready() {
    let bench = Bench::new(64);
    assert_eq!(bench.tried(), [1, 2, 4]);
    for _ in 0..10 {
        bench.fails().await;
        assert_eq!(bench.handle.health(), Health::Ready);
    }
    assert_eq!(bench.made.load(Ordering::SeqCst), 1);
    assert_eq!(bench.tried(), [1, 1, 1], "now and then the session is seen to do what it should");
    bench.finish();
}

#[tokio::test]
async fn a_session_that_fails_again_and_again_and_at_what_it_was_tried_with_is_made_anew() {
    let bench = Bench::new(64);
    bench.fails().await;
    bench.fails().await;
    bench.faults.cold.store(true, Ordering::SeqCst);
    bench.fails().await;
    let good = bench.ask(2, 1, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(good.await), [4.0]);
    assert_eq!(bench.made.load(Ordering::SeqCst), 2);
    assert_eq!(bench.handle.health(), Health::Ready);
    bench.finish();
}

#[tokio::test]
async fn where_an_error_may_last_each_has_the_session_tried_which_is_kept_if_it_does_what_it_should() {
    let bench = Bench::new(64);
    assert_eq!(bench.tried(), [1, 2, 4]);
    bench.faults.fragile.store(true, Ordering::SeqCst);
    for _ in 0..4 {
        bench.fails().await;
    }
    // Each answered first.
    let good = bench.ask(2, 1, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(good.await), [4.0]);
    assert_eq!((bench.tried(), bench.made.load(Ordering::SeqCst)), (vec![1; 4], 1));
    bench.faults.cold.store(true, Ordering::SeqCst);
    bench.fails().await;
    let good = bench.ask(3, 1, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!((values(good.await), bench.made.load(Ordering::SeqCst)), (vec![6.0], 2));
    bench.finish();
}

#[tokio::test]
async fn where_an_error_may_last_it_costs_no_one_else_an_answer() {
    let bench = Bench::new(64);
    bench.faults.fragile.store(true, Ordering::SeqCst);
    let first = bench.ask(0, 1, None);
    bench.begun().await;
    let (bad, good) = (bench.ask(7, 1, None), [bench.ask(1, 1, None), bench.ask(2, 1, None)]);
    bench.queued(4).await;
    for _ in 0..6 {
        bench.orders.send(Order::Poison(7.0)).unwrap();
    }
    assert_eq!(values(first.await), [0.0]);
    assert!(matches!(bad.await.unwrap(), Err(EngineError::Runtime(_))));
    let [one, two] = good;
    assert_eq!((values(one.await), values(two.await)), (vec![2.0], vec![4.0]));
    assert_eq!(bench.handle.stats().failed, 1);
    bench.finish();
}

#[tokio::test]
async fn while_no_session_can_be_made_callers_are_told_and_afterwards_served_again() {
    let bench = Bench::new(64);
    let bad = bench.ask(1, 1, None);
    bench.begun().await;
    let waiting = bench.ask(2, 1, None);
    bench.queued(2).await;
    bench.repairs.store(false, Ordering::SeqCst);
    bench.orders.send(Order::Panic).unwrap();
    assert!(matches!(bad.await.unwrap(), Err(EngineError::Runtime(_))));
    assert!(matches!(waiting.await.unwrap(), Err(EngineError::Loading(_))));
    assert!(matches!(bench.ask(3, 1, None).await.unwrap(), Err(EngineError::Loading(_))));
    assert_eq!(bench.handle.health(), Health::Down);
    bench.repairs.store(true, Ordering::SeqCst);
    while bench.handle.health() != Health::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let good = bench.ask(4, 1, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(good.await), [8.0]);
    bench.finish();
}

#[tokio::test]
async fn one_poisoned_request_does_not_spoil_the_batch_it_is_in() {
    let bench = Bench::new(64);
    let first = bench.ask(0, 1, None);
    bench.begun().await;
    let (good, bad, also) = (bench.ask(1, 2, None), bench.ask(7, 1, None), bench.ask(3, 1, None));
    bench.queued(4).await;
    for _ in 0..6 {
        bench.orders.send(Order::Poison(7.0)).unwrap();
    }
    assert_eq!(values(first.await), [0.0]);
    assert_eq!((values(good.await), values(also.await)), (vec![2.0, 4.0], vec![6.0]));
    let error = bad.await.unwrap().unwrap_err();
    assert_eq!(error, EngineError::Runtime("test/1/double failed on this request".into()));
    assert_eq!(bench.handle.stats().failed, 1);
    bench.finish();
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_stopped_and_its_session_serves_on() {
    let bench = Bench::new(64);
    let gone = bench.ask(1, 1, None);
    bench.begun().await;
    let next = bench.ask(2, 1, None);
    bench.queued(2).await;
    // No order for the first run: it ends only because it is stopped.
    gone.abort();
    bench.begun().await;
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(next.await), [4.0]);
    assert_eq!(bench.made.load(Ordering::SeqCst), 1, "nothing was wrong with the session");
    assert_eq!(bench.handle.stats().failed, 0);
    bench.finish();
}

#[tokio::test]
async fn a_panic_in_a_run_that_was_stopped_costs_its_session_all_the_same() {
    let bench = Bench::new(64);
    bench.stop.way.store(PANICS, Ordering::SeqCst);
    let gone = bench.ask(1, 1, None);
    bench.begun().await;
    let next = bench.ask(2, 1, None);
    bench.queued(2).await;
    gone.abort();
    bench.begun().await;
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(next.await), [4.0]);
    assert_eq!(bench.made.load(Ordering::SeqCst), 2);
    bench.finish();
}

#[tokio::test]
async fn while_the_only_worker_is_stuck_callers_are_told_and_afterwards_served_again() {
    let bench = Bench::with_longest_run(Duration::from_millis(20));
    bench.stop.way.store(GOES_ON, Ordering::SeqCst);
    let stuck = bench.ask(1, 1, None);
    bench.begun().await;
    let waiting = bench.ask(2, 1, None);
    bench.queued(2).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.handle.tick();
    assert!(matches!(stuck.await.unwrap(), Err(EngineError::Runtime(_))));
    assert!(matches!(bench.ask(3, 1, None).await.unwrap(), Err(EngineError::Loading(_))));
    assert_eq!((bench.handle.health(), bench.handle.stats().queued), (Health::Down, 1), "it may end yet");
    let turnstile = &bench.handle.shared.setup.turnstile;
    assert_eq!(turnstile.free(), 0);
    bench.handle.tick();
    assert!(matches!(waiting.await.unwrap(), Err(EngineError::Loading(_))));
    assert_eq!(turnstile.free(), 1, "other graphs need not wait for it");
    bench.orders.send(Order::Fail).unwrap();
    while bench.handle.health() != Health::Ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let good = bench.ask(4, 1, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(good.await), [8.0]);
    assert_eq!(turnstile.free(), 1);
    bench.finish();
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_given_up_and_the_next_is_served() {
    let bench = Bench::with_longest_run(Duration::from_millis(20));
    let stuck = bench.ask(1, 1, None);
    bench.begun().await;
    let next = bench.ask(2, 1, None);
    bench.queued(2).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.handle.tick();
    let error = stuck.await.unwrap().unwrap_err();
    assert_eq!(error, EngineError::Runtime("test/1/double took too long and was given up".into()));
    bench.begun().await;
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(next.await), [4.0]);
    assert_eq!(bench.handle.health(), Health::Ready);
    bench.finish();
}

#[tokio::test]
async fn stopping_ends_the_run_that_is_under_way() {
    let bench = Bench::new(64);
    let (running, waiting) = (bench.ask(1, 1, None), bench.ask(2, 1, None));
    bench.begun().await;
    bench.queued(2).await;
    let handle = bench.handle.clone();
    // Would wait for ever: nobody orders the run to end.
    tokio::task::spawn_blocking(move || handle.stop()).await.unwrap();
    assert_eq!(running.await.unwrap(), Err(EngineError::Draining));
    assert_eq!(waiting.await.unwrap(), Err(EngineError::Draining));
    bench.finish();
}

#[tokio::test]
async fn stopping_leaves_a_worker_behind_whose_run_hears_of_no_stop() {
    let bench = Bench::new(64);
    bench.stop.way.store(GOES_ON, Ordering::SeqCst);
    let deaf = bench.ask(1, 1, None);
    bench.begun().await;
    let handle = bench.handle.clone();
    let stop = tokio::task::spawn_blocking(move || handle.stop());
    assert_eq!(deaf.await.unwrap(), Err(EngineError::Draining));
    tokio::time::timeout(Duration::from_secs(60), stop).await.expect("it never stops").unwrap();
    assert_eq!(bench.handle.stats().running, 1, "it still runs");
    bench.orders.send(Order::Go).unwrap();
    while bench.handle.stats().running > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bench.finish();
}
