//! Steps that fail, break their session, or do not end.

use std::sync::atomic::Ordering;

use super::tests::*;
use super::*;

fn failed() -> EngineError {
    EngineError::Runtime("test/1/step failed on this step".into())
}

fn given_up() -> EngineError {
    EngineError::Runtime("test/1/step took too long and was given up".into())
}

/// Whose steps are given up soon.
fn soon(workers: usize, slots: usize) -> Bench {
    let like = Like { workers, longest_run: Duration::from_millis(20), ..Like::default() };
    Bench::like(slots, &[1, 2], &like)
}

/// Has the watchdog look when the step that hangs has taken too long.
async fn look(bench: &Bench) {
    bench.hangs().await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.decoder.tick();
}

/// Walks, and then gives the graph what it does not survive.
struct Poisoned(usize);

impl Cursor for Poisoned {
    type Chunk = (f32, f32);

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        self.0 -= 1;
        let token = if self.0 == 0 { POISON } else { 1 };
        Ok(Step::Next { token, emit: Some((logits[0], logits[1])) })
    }
}

#[tokio::test]
async fn a_stream_whose_step_fails_or_panics_ends_and_the_next_are_served() {
    let bench = Bench::new(2, &[1, 2]);
    for (way, made) in [(FAIL, 1), (PANIC, 2)] {
        bench.order(way);
        assert_eq!(counts(bench.walk(3)).await, Err(failed()));
        assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
        assert_eq!(bench.decoder.health(), Health::Ready);
        assert_eq!(bench.orders.made.load(Ordering::SeqCst), made, "only a panic costs the session");
    }
    bench.finish();
}

#[tokio::test]
async fn a_divided_step_that_fails_ends_its_stream_and_the_next_are_served_the_same_way() {
    let bench = Bench::like(4, &[1, 2], &Like { workers: 2, few: 2, ..Like::default() });
    for way in [FAIL, PANIC] {
        bench.order(way);
        assert_eq!(counts(bench.walk(3)).await, Err(failed()));
        assert_eq!(divided(bench.walk(9)).await.unwrap(), (upto(9), 9));
    }
    bench.finish();
}

#[tokio::test]
async fn a_step_that_fails_once_is_tried_again_by_halves_and_its_streams_miss_nothing() {
    for way in [FAIL, PANIC] {
        let bench = Bench::new(4, &[1, 2, 4]);
        let open = bench.gate().await;
        let streams: Vec<_> = (0..4).map(|_| bench.walks(20)).collect();
        bench.order(way);
        open.send(()).unwrap();
        for stream in streams {
            assert_eq!(stream.await.unwrap().unwrap(), upto(20));
        }
        assert_eq!(bench.decoder.stats().failed, 0);
        bench.finish();
    }
}

#[tokio::test]
async fn a_stream_that_breaks_its_steps_ends_alone_and_those_with_it_miss_nothing() {
    let bench = Bench::new(8, &[1, 2, 4, 8]);
    // With their states in a frame by then, and without.
    for steps in [4, 1] {
        let open = bench.gate().await;
        let before: Vec<_> = (0..3).map(|_| bench.walks(30)).collect();
        let bad = bench.decoder.stream(Poisoned(steps), None).unwrap();
        let after: Vec<_> = (0..4).map(|_| bench.walks(30)).collect();
        open.send(()).unwrap();
        assert_eq!(counts(bad).await, Err(failed()));
        for stream in before.into_iter().chain(after) {
            assert_eq!(stream.await.unwrap().unwrap(), upto(30));
        }
        assert_eq!(bench.decoder.health(), Health::Ready);
    }
    assert_eq!(bench.decoder.stats().failed, 2);
    assert_eq!(bench.orders.made.load(Ordering::SeqCst), 1, "nothing was wrong with the session");
    bench.finish();
}

#[tokio::test]
async fn a_worker_that_has_no_session_leaves_the_streams_to_the_others() {
    let bench = Bench::with_workers(2, 4, &[1, 2]);
    bench.orders.no_repairs.store(true, Ordering::SeqCst);
    let streams = bench.parked(2, 2).await;
    assert_eq!(bench.active(), [1, 1]);
    bench.order(PANIC);
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(counts(stream).await);
    }
    assert_eq!(ends, [Err(failed()), Ok(upto(50))]);
    bench.wait("it is told", || bench.decoder.health() != Health::Ready).await;
    let streams: Vec<_> = (0..4).map(|_| bench.walks(9)).collect();
    for stream in streams {
        assert_eq!(stream.await.unwrap().unwrap(), upto(9));
    }
    bench.orders.no_repairs.store(false, Ordering::SeqCst);
    bench.is_well().await;
    bench.finish();
}

#[tokio::test]
async fn a_worker_that_can_have_no_session_ends_those_who_stand_still_in_its_slots() {
    let bench = Bench::with_workers(2, 4, &[1, 2]);
    bench.orders.no_repairs.store(true, Ordering::SeqCst);
    let mut streams = bench.parked(4, 4).await;
    assert_eq!(bench.active(), [2, 2]);
    bench.order(PANIC);
    assert_eq!(counts(streams.remove(0)).await, Err(failed()));
    // Nobody reads from the one beside it, and yet its slot is free.
    bench.until("its slots are free", |stats| stats.slots_used == 2).await;
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(counts(stream).await);
    }
    assert_eq!(ends.iter().filter(|end| matches!(end, Err(EngineError::Loading(_)))).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == Ok(upto(50))).count(), 2, "{ends:?}");
    bench.finish();
}

#[tokio::test]
async fn the_slots_of_a_worker_that_can_have_no_session_are_for_those_who_wait() {
    // The first two are kept together.
    let bench = Bench::like(4, &[1, 2], &Like { workers: 3, few: 2, ..Like::default() });
    bench.orders.no_repairs.store(true, Ordering::SeqCst);
    let mut streams = bench.parked(4, 4).await;
    assert_eq!(bench.active(), [2, 1, 1]);
    // The one for the slot of the stream that fails, which nobody reads from, and the other for that of its neighbour.
    let _stands = bench.walk(50);
    let served = bench.walks(9);
    bench.order(PANIC);
    assert_eq!(counts(streams.remove(0)).await, Err(failed()));
    let served = tokio::time::timeout(Duration::from_secs(60), served).await.expect("nobody is woken");
    assert_eq!(served.unwrap().unwrap(), upto(9));
    bench.finish();
}

#[tokio::test]
async fn where_the_last_worker_ends_in_panic_all_are_told_and_new_ones_refused() {
    let bench = Bench::new(1, &[1]);
    let held = bench.parked(1, 1).await.remove(0);
    let waiting = bench.walks(3);
    bench.until("one waits", |stats| stats.waiting == 1).await;
    bench.orders.falls.store(true, Ordering::SeqCst);
    for end in [counts(held).await, waiting.await.unwrap()] {
        assert!(matches!(end, Err(EngineError::Loading(_))), "{end:?}");
    }
    let refused = bench.decoder.stream(Walker { steps: 3 }, None).map(|_| ());
    assert!(matches!(refused, Err(EngineError::Loading(_))), "{refused:?}");
    assert_eq!(bench.decoder.health(), Health::Down);
    bench.finish();
}

#[tokio::test]
async fn while_no_session_can_be_made_streams_are_told_and_afterwards_served_again() {
    let bench = Bench::new(1, &[1]);
    bench.orders.no_repairs.store(true, Ordering::SeqCst);
    bench.order(PANIC);
    assert_eq!(counts(bench.walk(3)).await, Err(failed()));
    bench.wait("it is told", || bench.decoder.health() != Health::Ready).await;
    let told = match bench.decoder.stream(Walker { steps: 3 }, None) {
        Ok(stream) => counts(stream).await.unwrap_err(),
        Err(e) => e,
    };
    assert!(matches!(told, EngineError::Loading(_)), "{told:?}");
    bench.orders.no_repairs.store(false, Ordering::SeqCst);
    bench.is_well().await;
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    bench.finish();
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_stopped_its_stream_is_told_and_the_others_are_served() {
    let bench = soon(1, 2);
    let parked = bench.parked(1, 1).await.remove(0);
    bench.order(HANG);
    let stuck = bench.walks(3);
    look(&bench).await;
    assert_eq!(stuck.await.unwrap(), Err(given_up()));
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    assert_eq!(counts(parked).await.unwrap(), upto(50), "who was not in it misses nothing");
    assert_eq!(bench.decoder.health(), Health::Ready);
    assert_eq!(bench.decoder.stats().failed, 1);
    assert_eq!(bench.orders.made.load(Ordering::SeqCst), 1, "nothing was wrong with the session");
    bench.finish();
}

#[tokio::test]
async fn a_step_that_takes_its_time_is_let_be() {
    let bench = Bench::new(1, &[1]);
    bench.order(DEAF);
    let slow = bench.walks(3);
    look(&bench).await;
    assert_eq!(bench.decoder.health(), Health::Ready);
    bench.orders.release.store(true, Ordering::SeqCst);
    assert_eq!(slow.await.unwrap().unwrap(), upto(3));
    bench.finish();
}

#[tokio::test]
async fn a_worker_whose_step_hears_of_no_stop_loses_its_streams_and_the_other_serves_on() {
    let bench = soon(2, 4);
    let mut streams = bench.parked(4, 4).await;
    assert_eq!(bench.active(), [2, 2]);
    bench.order(DEAF);
    let stuck = tokio::spawn(counts(streams.remove(0)));
    look(&bench).await;
    assert_eq!(stuck.await.unwrap(), Err(given_up()), "told while the step goes on");
    assert_eq!((bench.decoder.health(), bench.decoder.stats().slots_used), (Health::Degraded, 3));
    look(&bench).await;
    assert_eq!(bench.decoder.stats().slots_used, 2, "who stands still beside it has waited long enough");
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(counts(stream).await);
    }
    assert_eq!(ends.iter().filter(|end| **end == Err(given_up())).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == Ok(upto(50))).count(), 2, "{ends:?}");
    for _ in 0..3 {
        assert_eq!(counts(bench.walk(9)).await.unwrap(), upto(9));
    }
    bench.orders.release.store(true, Ordering::SeqCst);
    bench.is_well().await;
    bench.finish();
}

#[tokio::test]
async fn where_no_step_ends_any_more_those_who_wait_are_told_and_new_ones_refused() {
    let bench = soon(1, 1);
    bench.order(DEAF);
    let stuck = bench.walks(3);
    bench.hangs().await;
    let waiting = bench.walks(3);
    bench.until("one waits", |stats| stats.waiting == 1).await;
    look(&bench).await;
    assert_eq!(stuck.await.unwrap(), Err(given_up()));
    assert_eq!((bench.decoder.health(), bench.decoder.stats().waiting), (Health::Down, 1));
    let turnstile = &bench.decoder.shared.setup.turnstile;
    assert_eq!(turnstile.free(), 0);
    look(&bench).await;
    assert_eq!(turnstile.free(), 1, "other graphs need not wait for it");
    assert!(matches!(waiting.await.unwrap(), Err(EngineError::Loading(_))));
    let refused = bench.decoder.stream(Walker { steps: 3 }, None).map(|_| ());
    assert!(matches!(refused, Err(EngineError::Loading(_))), "{refused:?}");
    bench.orders.release.store(true, Ordering::SeqCst);
    bench.is_well().await;
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    bench.finish();
}

/// Stops a decoder in which one stream's step hangs and another waits.
async fn stops(way: usize) -> Bench {
    let bench = Bench::new(1, &[1]);
    bench.order(way);
    let streams = [bench.walks(3), bench.walks(3)];
    bench.hangs().await;
    let decoder = bench.decoder.clone();
    let stop = tokio::task::spawn_blocking(move || decoder.stop());
    tokio::time::timeout(Duration::from_secs(60), stop).await.expect("it never stops").unwrap();
    for stream in streams {
        assert_eq!(stream.await.unwrap(), Err(EngineError::Draining));
    }
    bench
}

#[tokio::test]
async fn stopping_ends_a_step_that_hangs() {
    let bench = stops(HANG).await;
    assert!(!bench.orders.hangs.load(Ordering::SeqCst));
    bench.finish();
}

#[tokio::test]
async fn stopping_leaves_a_worker_behind_whose_step_hears_of_no_stop() {
    let bench = stops(DEAF).await;
    assert!(bench.orders.hangs.load(Ordering::SeqCst));
    let orders = Arc::clone(&bench.orders);
    bench.finish();
    orders.release.store(true, Ordering::SeqCst);
}
