use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atelier_package::{Dtype, StatePair, Tensor, TensorSpec};

use super::*;
use crate::runtime::frame::Frame;
use crate::runtime::witness::Witness;

/// Counts in its state; its logits are the count and the batch size, which is negative if threads divide it. Fails when
/// the test says so.
struct Counting {
    fail: Arc<AtomicUsize>,
    divided: bool,
    takes: Duration,
    frames: Witness,
}

const FINE: usize = 0;
const FAIL: usize = 1;
const PANIC: usize = 2;

impl Runner for Counting {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        match self.fail.swap(FINE, Ordering::SeqCst) {
            FAIL => return Err(EngineError::Runtime("on purpose".into())),
            PANIC => panic!("by accident"),
            _ => {}
        }
        let count: Vec<f32> = inputs[1].as_f32().unwrap().iter().map(|x| x + 1.0).collect();
        let rows = count.len();
        let shown = if self.divided { -(rows as f32) } else { rows as f32 };
        if !self.takes.is_zero() {
            std::thread::sleep(self.takes);
        }
        let logits = count.iter().flat_map(|x| [*x, shown]).collect();
        Ok(vec![Tensor::f32([rows, 2], logits).unwrap(), Tensor::f32([1, rows, 1], count).unwrap()])
    }

    fn record(&mut self) -> bool {
        true
    }

    fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        self.frames.frame(spec, rows)
    }
}

/// Steps until the test lets it end; says what it counted.
struct Walker {
    steps: usize,
}

impl Cursor for Walker {
    type Chunk = (f32, f32);

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        let emit = Some((logits[0], logits[1]));
        self.steps -= 1;
        Ok(if self.steps == 0 { Step::Done { emit } } else { Step::Next { token: 1, emit } })
    }
}

struct Bench {
    decoder: Decoder,
    fail: Arc<AtomicUsize>,
    repairs: Arc<AtomicBool>,
    frames: Witness,
}

impl Bench {
    fn new(slots: usize, sizes: &[usize]) -> Self {
        Self::with_workers(1, slots, sizes)
    }

    fn with_workers(workers: usize, slots: usize, sizes: &[usize]) -> Self {
        Self::with_divided(workers, slots, sizes, 0, Duration::ZERO)
    }

    /// Up to `few` streams are stepped by a session whose threads divide a step. A step takes so long.
    fn with_divided(workers: usize, slots: usize, sizes: &[usize], few: usize, takes: Duration) -> Self {
        let fail = Arc::new(AtomicUsize::new(FINE));
        let repairs = Arc::new(AtomicBool::new(true));
        let frames = Witness::default();
        let state = |name: &str| TensorSpec::new(name, Dtype::F32, [1.into(), "batch".into(), 1.into()]);
        let spec = GraphSpec {
            name: "step".into(),
            file: "step.onnx".into(),
            sha256: String::new(),
            inputs: vec![TensorSpec::new("token", Dtype::I64, ["batch".into()]), state("h")],
            outputs: vec![TensorSpec::new("logits", Dtype::F32, ["batch".into(), 2.into()]), state("h_next")],
            state: vec![StatePair { input: "h".into(), output: "h_next".into() }],
            ..GraphSpec::default()
        };
        let made = |divided| -> Factory {
            let (fail, allowed, frames) = (Arc::clone(&fail), Arc::clone(&repairs), frames.clone());
            Arc::new(move || match allowed.load(Ordering::SeqCst) {
                true => {
                    let (fail, frames) = (Arc::clone(&fail), frames.clone());
                    Ok(Box::new(Counting { fail, divided, takes, frames }))
                }
                false => Err(EngineError::Runtime("no".into())),
            })
        };
        let setup = Setup {
            name: "test/1/step".into(),
            shape: Arc::new(StepShape::of(&spec).unwrap()),
            spec: Arc::new(spec),
            sizes: Sizes::of(sizes),
            slots,
            waiting: 4,
            buffer: 4,
            threads: 1,
            turnstile: Arc::new(Turnstile::new(workers)),
            factory: made(false),
            divided: (few > 0).then(|| Divided { few, threads: workers, factory: made(true) }),
        };
        let runners = |divided, count| (0..count).map(|_| made(divided)().unwrap()).collect();
        let companions = runners(true, if few > 0 { workers } else { 0 });
        let decoder = Decoder::start(setup, runners(false, workers), companions).unwrap();
        Self { decoder, fail, repairs, frames }
    }

    fn walk(&self, steps: usize) -> Stream<(f32, f32)> {
        self.decoder.stream(Walker { steps }, None).unwrap()
    }

    /// Streams that stand still until they are read from.
    async fn parked(&self, streams: usize, in_slots: usize) -> Vec<Stream<(f32, f32)>> {
        let streams = (0..streams).map(|_| self.walk(50)).collect();
        // Each fills its buffer of 4, and holds one more.
        let steps = |bench: &Self| bench.decoder.stats().steps;
        while self.decoder.stats().slots_used != in_slots || steps(self) < 4 * in_slots as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        streams
    }

    fn active(&self) -> Vec<usize> {
        self.decoder.shared.state().desks.each_active()
    }

    fn finish(self) {
        self.decoder.stop();
        let stats = self.decoder.stats();
        assert_eq!((stats.slots_used, stats.waiting), (0, 0), "a gauge leaks");
        assert!(self.decoder.is_idle());
    }
}

/// Its counts, and how many of its steps were divided.
async fn divided(mut stream: Stream<(f32, f32)>) -> Result<(Vec<f32>, usize), EngineError> {
    let (mut out, mut divided) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let (count, size) = chunk?;
        out.push(count);
        divided += usize::from(size < 0.0);
    }
    Ok((out, divided))
}

async fn counts(mut stream: Stream<(f32, f32)>) -> Result<Vec<f32>, EngineError> {
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk?.0);
    }
    Ok(out)
}

fn upto(steps: usize) -> Vec<f32> {
    (1..=steps).map(|x| x as f32).collect()
}

#[tokio::test]
async fn a_slot_begins_anew_for_every_stream_that_gets_it() {
    let bench = Bench::new(1, &[1]);
    for steps in [3, 5, 2] {
        assert_eq!(counts(bench.walk(steps)).await.unwrap(), upto(steps));
    }
    bench.finish();
}

#[tokio::test]
async fn more_streams_than_a_batch_holds_all_get_through() {
    let bench = Bench::new(4, &[1, 2, 3]);
    let streams: Vec<_> = (0..4).map(|_| tokio::spawn(counts(bench.walk(50)))).collect();
    for stream in streams {
        assert_eq!(stream.await.unwrap().unwrap(), upto(50));
    }
    assert_eq!(bench.decoder.stats().steps, 200);
    bench.finish();
}

#[tokio::test]
async fn streams_go_to_the_worker_with_the_fewest_and_never_are_there_more_than_slots() {
    let bench = Bench::with_workers(2, 4, &[1, 2]);
    let streams = bench.parked(4, 4).await;
    assert_eq!(bench.active(), [2, 2]);
    for stream in streams {
        assert_eq!(counts(stream).await.unwrap(), upto(50));
    }
    bench.finish();
    let bench = Bench::with_workers(2, 3, &[1, 2]);
    let streams = bench.parked(5, 3).await;
    assert_eq!((bench.active().iter().sum::<usize>(), bench.decoder.stats().waiting), (3, 2));
    for stream in streams {
        assert_eq!(counts(stream).await.unwrap(), upto(50));
    }
    bench.finish();
}

#[tokio::test]
async fn few_streams_are_stepped_together_by_threads_that_divide_a_step_and_more_side_by_side() {
    let bench = Bench::with_divided(2, 8, &[1, 2, 4], 2, Duration::from_millis(1));
    let two: Vec<_> = (0..2).map(|_| tokio::spawn(divided(bench.walk(60)))).collect();
    for stream in two {
        assert_eq!(stream.await.unwrap().unwrap(), (upto(60), 60));
    }
    let six: Vec<_> = (0..6).map(|_| tokio::spawn(divided(bench.walk(200)))).collect();
    let spread = async {
        while bench.active() != [3, 3] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), spread).await.expect("they are never spread");
    for stream in six {
        let (got, divided) = stream.await.unwrap().unwrap();
        assert_eq!(got, upto(200));
        // Of those that came first some of their steps, and the last of whoever is left.
        assert!(divided < 150, "{divided} of 200 steps");
    }
    bench.finish();
}

#[tokio::test]
async fn a_divided_step_that_fails_ends_its_streams_and_the_next_are_served_the_same_way() {
    let bench = Bench::with_divided(2, 4, &[1, 2], 2, Duration::ZERO);
    for way in [FAIL, PANIC] {
        bench.fail.store(way, Ordering::SeqCst);
        assert!(matches!(counts(bench.walk(3)).await, Err(EngineError::Runtime(_))));
        assert_eq!(divided(bench.walk(9)).await.unwrap(), (upto(9), 9));
    }
    bench.finish();
}

/// As a [`Walker`]; says by its drop that it is gone.
struct Leaving {
    walker: Walker,
    _here: Arc<()>,
}

impl Cursor for Leaving {
    type Chunk = (f32, f32);

    fn first(&mut self) -> i64 {
        self.walker.first()
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        self.walker.advance(logits)
    }
}

#[tokio::test]
async fn a_cursor_is_dropped_when_its_stream_is_over_though_nobody_has_read_it() {
    let bench = Bench::new(1, &[1]);
    let here = Arc::new(());
    let cursor = Leaving { walker: Walker { steps: 3 }, _here: Arc::clone(&here) };
    let stream = bench.decoder.stream(cursor, None).unwrap();
    let gone = async {
        while Arc::strong_count(&here) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is kept");
    assert_eq!(counts(stream).await.unwrap(), upto(3));
    bench.finish();
}

#[tokio::test]
async fn many_streams_that_come_at_once_are_all_served_by_several_workers() {
    serves_many(Bench::with_workers(3, 6, &[1, 2])).await;
    serves_many(Bench::with_divided(3, 6, &[1, 2], 2, Duration::ZERO)).await;
}

async fn serves_many(bench: Bench) {
    for _ in 0..50 {
        let streams: Vec<_> =
            (1..=10).map(|steps| (steps, tokio::spawn(counts(bench.walk(steps))))).collect();
        for (steps, stream) in streams {
            assert_eq!(stream.await.unwrap().unwrap(), upto(steps));
        }
    }
    bench.finish();
}

#[tokio::test]
async fn a_worker_that_has_no_session_leaves_the_streams_to_the_others() {
    let bench = Bench::with_workers(2, 4, &[1, 2]);
    bench.repairs.store(false, Ordering::SeqCst);
    let streams = bench.parked(2, 2).await;
    assert_eq!(bench.active(), [1, 1]);
    bench.fail.store(FAIL, Ordering::SeqCst);
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(counts(stream).await);
    }
    assert!(ends.contains(&Ok(upto(50))), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, Err(EngineError::Runtime(_)))), "{ends:?}");
    assert_ne!(bench.decoder.health(), Health::Ready);
    let streams: Vec<_> = (0..4).map(|_| tokio::spawn(counts(bench.walk(9)))).collect();
    for stream in streams {
        assert_eq!(stream.await.unwrap().unwrap(), upto(9));
    }
    bench.repairs.store(true, Ordering::SeqCst);
    while bench.decoder.health() != Health::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.finish();
}

#[tokio::test]
async fn a_step_that_fails_or_panics_ends_its_streams_and_the_next_are_served() {
    let bench = Bench::new(2, &[1, 2]);
    for way in [FAIL, PANIC] {
        // Parked with full buffers, both; they go on together once they are read from.
        let streams = [bench.walk(50), bench.walk(50)];
        while !bench.decoder.stats().steps.is_multiple_of(8) || bench.decoder.stats().slots_used != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.fail.store(way, Ordering::SeqCst);
        let mut ends = Vec::new();
        for stream in streams {
            ends.push(counts(stream).await);
        }
        // Whoever was in the step that failed has an error; the other went on.
        let failed = ends.iter().filter(|e| matches!(e, Err(EngineError::Runtime(_)))).count();
        let whole = ends.iter().filter(|e| **e == Ok(upto(50))).count();
        assert!(failed >= 1 && failed + whole == 2, "{ends:?}");
        assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
        assert_eq!(bench.decoder.health(), Health::Ready);
        // The next round begins at a multiple of 8 again.
        let off = bench.decoder.stats().steps % 8;
        if off != 0 {
            counts(bench.walk(8 - off as usize)).await.unwrap();
        }
    }
    bench.finish();
}

#[tokio::test]
async fn streams_find_frames_of_all_sizes_made_by_the_thread_that_steps_them() {
    let bench = Bench::new(2, &[1, 2]);
    let all = [1, 2].map(|rows| ("test/1/step".to_owned(), rows));
    assert_eq!(bench.frames.seen(), all);
    // Those of a new session too, before it takes any step.
    bench.fail.store(FAIL, Ordering::SeqCst);
    counts(bench.walk(3)).await.unwrap_err();
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    assert_eq!(bench.frames.seen(), all);
    bench.finish();
}

#[tokio::test]
async fn while_no_session_can_be_made_streams_are_told_and_afterwards_served_again() {
    let bench = Bench::new(1, &[1]);
    bench.repairs.store(false, Ordering::SeqCst);
    bench.fail.store(FAIL, Ordering::SeqCst);
    assert!(matches!(counts(bench.walk(3)).await, Err(EngineError::Runtime(_))));
    while bench.decoder.health() == Health::Ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let told = match bench.decoder.stream(Walker { steps: 3 }, None) {
        Ok(stream) => counts(stream).await.unwrap_err(),
        Err(e) => e,
    };
    assert!(matches!(told, EngineError::Loading(_)), "{told:?}");
    bench.repairs.store(true, Ordering::SeqCst);
    while bench.decoder.health() != Health::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    bench.finish();
}

#[tokio::test]
async fn streams_that_come_and_go_at_random_leave_nothing_behind() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let bench = Bench::new(3, &[1, 2, 3]);
    let mut kept = Vec::new();
    for _ in 0..400 {
        let steps = rng.random_range(1..40);
        let deadline =
            rng.random_bool(0.2).then(|| Instant::now() + Duration::from_millis(rng.random_range(0..5)));
        match bench.decoder.stream(Walker { steps }, deadline) {
            // A third goes away unread, or half read.
            Ok(mut stream) if rng.random_bool(0.33) => {
                if rng.random_bool(0.5) {
                    let _ = stream.next().await;
                }
            }
            Ok(stream) => kept.push((steps, deadline.is_some(), tokio::spawn(counts(stream)))),
            Err(EngineError::QueueFull { .. } | EngineError::DeadlineExceeded) => {
                tokio::task::yield_now().await
            }
            Err(e) => panic!("{e}"),
        }
    }
    for (steps, limited, stream) in kept {
        match stream.await.unwrap() {
            Ok(got) => assert_eq!(got, upto(steps)),
            Err(e) => assert!(limited && e == EngineError::DeadlineExceeded, "{e}"),
        }
    }
    for _ in 0..5_000 {
        if bench.decoder.is_idle() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bench.finish();
}

#[tokio::test]
async fn a_client_that_goes_at_its_deadline_has_expired_and_one_that_goes_before_it_was_cancelled() {
    let bench = Bench::new(1, &[1]);
    let before = Instant::now();
    let lane = |deadline| {
        let shared = Arc::clone(&bench.decoder.shared);
        let (lane, stream) = TypedLane::new(Walker { steps: 9 }, 4, Some(deadline), shared);
        drop(stream);
        lane
    };
    // The worker looked at its clock before the deadline, and the client was gone when it looked at the stream.
    let mut late = lane(before + Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(late.readiness(before), lane::Readiness::Expired);
    assert!(matches!(late.advance(&[1.0, 1.0]), Err(EngineError::DeadlineExceeded)));
    let mut gone = lane(before + Duration::from_secs(3600));
    assert_eq!(gone.readiness(before), lane::Readiness::Gone);
    assert!(matches!(gone.advance(&[1.0, 1.0]), Err(EngineError::Cancelled)));
    bench.finish();
}
