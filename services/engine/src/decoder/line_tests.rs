//! Who waits for a slot, for how long, and who is not let in.

use super::tests::*;
use super::*;

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// What there is to see of a line.
fn line(bench: &Bench) -> (usize, u64, u64) {
    let stats = bench.decoder.stats();
    (stats.waiting, stats.expired, stats.cancelled)
}

fn until(bench: &Bench, deadline: Instant) -> Result<Stream<(f32, f32)>, EngineError> {
    bench.decoder.stream(Walker { steps: 3 }, Some(deadline))
}

#[tokio::test]
async fn who_waits_and_whose_client_goes_or_deadline_passes_leaves_the_line_at_once() {
    let bench = Bench::new(1, &[1]);
    let _held = bench.parked(1, 1).await;
    let (goes, stays, mut late) = (bench.walk(3), bench.walk(3), until(&bench, in_ms(500)).unwrap());
    assert_eq!(line(&bench), (3, 0, 0));
    drop(goes);
    assert_eq!(line(&bench), (2, 0, 1));
    assert_eq!(late.next().await, Some(Err(EngineError::DeadlineExceeded)));
    assert_eq!(line(&bench), (1, 1, 1));
    drop(stays);
    assert_eq!(line(&bench), (0, 1, 2));
    bench.finish();
}

#[tokio::test]
async fn who_waits_beyond_the_deadline_and_does_not_ask_leaves_the_line_with_the_next_look_or_stream() {
    let bench = Bench::new(1, &[1]);
    let _held = bench.parked(1, 1).await;
    // The line holds four.
    let late: Vec<_> = (0..4).map(|_| until(&bench, in_ms(300)).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(line(&bench), (4, 0, 0));
    let (_next, _last) = (bench.walk(3), until(&bench, in_ms(300)).unwrap());
    assert_eq!(line(&bench), (2, 4, 0));
    tokio::time::sleep(Duration::from_millis(350)).await;
    bench.decoder.tick();
    assert_eq!(line(&bench), (1, 5, 0));
    for mut stream in late {
        assert_eq!(stream.next().await, Some(Err(EngineError::DeadlineExceeded)));
    }
    bench.finish();
}

#[tokio::test]
async fn who_would_be_too_late_by_the_recent_pace_is_refused_and_who_is_too_many_told_when_to_come_again() {
    let bench = Bench::like(1, &[1], &Like { takes: Duration::from_millis(20), ..Like::default() });
    // A slot is free: whoever comes is let in, and held for 200 ms.
    assert_eq!(counts(bench.walk(10)).await.unwrap(), upto(10));
    let _held = bench.parked(1, 1).await;
    let refused = until(&bench, in_ms(100)).map(|_| ());
    assert_eq!(refused, Err(EngineError::DeadlineExceeded), "said at once");
    assert_eq!((bench.decoder.stats().refused, bench.decoder.stats().expired), (1, 0));
    let _waiting: Vec<_> = (0..4).map(|_| until(&bench, in_ms(3_600_000)).unwrap()).collect();
    match bench.decoder.stream(Walker { steps: 3 }, None).map(|_| ()) {
        // Of five turns.
        Err(EngineError::QueueFull { retry_after }) => assert!(retry_after > RETRY_AFTER),
        other => panic!("{other:?}"),
    }
    bench.finish();
}

#[tokio::test]
async fn while_nobody_has_left_a_slot_nobody_is_refused_for_the_time_that_takes() {
    let bench = Bench::new(1, &[1]);
    let _held = bench.parked(1, 1).await;
    let _waiting: Vec<_> = (0..4).map(|_| until(&bench, in_ms(60_000)).unwrap()).collect();
    let full = bench.decoder.stream(Walker { steps: 3 }, None).map(|_| ());
    assert_eq!(full, Err(EngineError::QueueFull { retry_after: RETRY_AFTER }));
    bench.finish();
}
