use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use atelier_package::{Dtype, StatePair, Tensor, TensorSpec};

use super::lane::Lane;
use super::*;
use crate::runtime::frame::Frame;
use crate::runtime::stop::Stop;
use crate::runtime::witness::Witness;

/// Counts in its state; its logits are the count, the batch size, which is negative if threads divide it, and 0. Fails
/// when it is told, and on poison.
struct Counting {
    orders: Arc<Orders>,
    divided: bool,
    takes: Duration,
    stopper: Arc<Stopper>,
}

/// What the runners of a bench are told, and what they tell.
#[derive(Default)]
pub(super) struct Orders {
    next: AtomicUsize,
    /// No session can be made anew.
    pub(super) no_repairs: AtomicBool,
    /// Lets a run end that hears of no stop.
    pub(super) release: AtomicBool,
    /// A run hangs.
    pub(super) hangs: AtomicBool,
    /// The worker panics where no panic is caught.
    pub(super) falls: AtomicBool,
    /// Sessions that were made, the first ones included.
    pub(super) made: AtomicUsize,
    frames: Witness,
    warmed: Witness,
}

const FINE: usize = 0;
pub(super) const FAIL: usize = 1;
pub(super) const PANIC: usize = 2;
/// Hang until it is stopped.
pub(super) const HANG: usize = 3;
/// Hang, stopped or not.
pub(super) const DEAF: usize = 4;

/// The token that no step with it survives.
pub(super) const POISON: i64 = 2;

#[derive(Default)]
struct Stopper(AtomicBool);

impl Stop for Stopper {
    fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn reset(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Counting {
    fn hang_until(&self, over: &AtomicBool) {
        self.orders.hangs.store(true, Ordering::SeqCst);
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.orders.hangs.store(false, Ordering::SeqCst);
    }
}

impl Runner for Counting {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let failed = || Err(EngineError::Runtime("on purpose".into()));
        match self.orders.next.swap(FINE, Ordering::SeqCst) {
            FAIL => return failed(),
            PANIC => panic!("by accident"),
            HANG => {
                self.hang_until(&self.stopper.0);
                return failed();
            }
            DEAF => self.hang_until(&self.orders.release),
            _ => {}
        }
        if inputs[0].as_i64().unwrap().contains(&POISON) {
            return failed();
        }
        let count: Vec<f32> = inputs[1].as_f32().unwrap().iter().map(|x| x + 1.0).collect();
        let rows = count.len();
        let shown = if self.divided { -(rows as f32) } else { rows as f32 };
        if !self.takes.is_zero() {
            std::thread::sleep(self.takes);
        }
        let logits = count.iter().flat_map(|x| [*x, shown, 0.0]).collect();
        Ok(vec![Tensor::f32([rows, 3], logits).unwrap(), Tensor::f32([1, rows, 1], count).unwrap()])
    }

    fn stop(&self) -> Option<Arc<dyn Stop>> {
        assert!(!self.orders.falls.load(Ordering::SeqCst), "by accident");
        Some(Arc::clone(&self.stopper) as Arc<dyn Stop>)
    }

    fn warm(&mut self, frame: Option<&mut Frame>) -> Result<(), EngineError> {
        self.orders.warmed.saw(frame.map_or(0, |frame| frame.rows()));
        Ok(())
    }

    fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        self.orders.frames.frame(spec, rows)
    }
}

/// Steps until the test lets it end; says what it counted.
pub(super) struct Walker {
    pub(super) steps: usize,
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

/// Holds its worker up in its only step until the test lets go: so those who come meanwhile begin together.
struct Gate(mpsc::Receiver<()>);

impl Cursor for Gate {
    type Chunk = ();

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<()>, EngineError> {
        let _ = self.0.recv();
        Ok(Step::Done { emit: None })
    }
}

pub(super) struct Bench {
    pub(super) decoder: Decoder,
    pub(super) orders: Arc<Orders>,
}

/// What a bench is like, but for its slots and sizes.
pub(super) struct Like {
    pub(super) workers: usize,
    /// Up to so many streams are stepped by a session whose threads divide a step.
    pub(super) few: usize,
    /// What a step takes.
    pub(super) takes: Duration,
    pub(super) longest_run: Duration,
}

impl Default for Like {
    fn default() -> Self {
        Self { workers: 1, few: 0, takes: Duration::ZERO, longest_run: Duration::from_secs(3600) }
    }
}

impl Bench {
    pub(super) fn new(slots: usize, sizes: &[usize]) -> Self {
        Self::like(slots, sizes, &Like::default())
    }

    pub(super) fn with_workers(workers: usize, slots: usize, sizes: &[usize]) -> Self {
        Self::like(slots, sizes, &Like { workers, ..Like::default() })
    }

    pub(super) fn like(slots: usize, sizes: &[usize], like: &Like) -> Self {
        let Like { workers, few, takes, longest_run } = *like;
        let orders = Arc::new(Orders::default());
        let state = |name: &str| TensorSpec::new(name, Dtype::F32, [1.into(), "batch".into(), 1.into()]);
        let spec = GraphSpec {
            name: "step".into(),
            file: "step.onnx".into(),
            sha256: String::new(),
            inputs: vec![TensorSpec::new("token", Dtype::I64, ["batch".into()]), state("h")],
            outputs: vec![TensorSpec::new("logits", Dtype::F32, ["batch".into(), 3.into()]), state("h_next")],
            state: vec![StatePair { input: "h".into(), output: "h_next".into() }],
            ..GraphSpec::default()
        };
        let made = |divided| -> Factory {
            let orders = Arc::clone(&orders);
            Arc::new(move || match orders.no_repairs.load(Ordering::SeqCst) {
                true => Err(EngineError::Runtime("no".into())),
                false => {
                    orders.made.fetch_add(1, Ordering::SeqCst);
                    let (orders, stopper) = (Arc::clone(&orders), Arc::default());
                    Ok(Box::new(Counting { orders, divided, takes, stopper }))
                }
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
            longest_run,
            threads: 1,
            turnstile: Arc::new(Turnstile::new(workers)),
            factory: made(false),
            divided: (few > 0).then(|| Divided { few, threads: workers, factory: made(true) }),
        };
        let runners = |divided, count| (0..count).map(|_| made(divided)().unwrap()).collect();
        let companions = runners(true, if few > 0 { workers } else { 0 });
        let decoder = Decoder::start(setup, runners(false, workers), companions).unwrap();
        Self { decoder, orders }
    }

    /// Says how the next run goes.
    pub(super) fn order(&self, way: usize) {
        self.orders.next.store(way, Ordering::SeqCst);
    }

    pub(super) fn walk(&self, steps: usize) -> Stream<(f32, f32)> {
        self.decoder.stream(Walker { steps }, None).unwrap()
    }

    /// The same, read by somebody.
    pub(super) fn walks(&self, steps: usize) -> tokio::task::JoinHandle<Result<Vec<f32>, EngineError>> {
        tokio::spawn(counts(self.walk(steps)))
    }

    /// Streams that stand still until they are read from.
    pub(super) async fn parked(&self, streams: usize, in_slots: usize) -> Vec<Stream<(f32, f32)>> {
        let streams = (0..streams).map(|_| self.walk(50)).collect();
        // Each fills its buffer of 4, and holds one more.
        self.until("they stand still", |stats| {
            stats.slots_used == in_slots && stats.steps >= 4 * in_slots as u64
        })
        .await;
        streams
    }

    /// Holds the worker up until something is sent.
    pub(super) async fn gate(&self) -> mpsc::Sender<()> {
        let (open, gate) = mpsc::channel();
        let before = self.decoder.stats().iterations;
        let mut gate = self.decoder.stream(Gate(gate), None).unwrap();
        self.until("the gate is closed", |stats| stats.iterations > before).await;
        tokio::spawn(async move { gate.next().await });
        open
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(DecoderStats) -> bool) {
        self.wait(what, || is_so(self.decoder.stats())).await;
    }

    /// Until a run hangs.
    pub(super) async fn hangs(&self) {
        self.wait("a run hangs", || self.orders.hangs.load(Ordering::SeqCst)).await;
    }

    pub(super) async fn is_well(&self) {
        self.wait("it is well", || self.decoder.health() == Health::Ready).await;
    }

    pub(super) async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < end, "never came: {what}: {:?}", self.decoder.stats());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn active(&self) -> Vec<usize> {
        self.decoder.shared.state().desks.each_active()
    }

    pub(super) fn finish(self) {
        self.decoder.stop();
        let stats = self.decoder.stats();
        assert_eq!((stats.slots_used, stats.waiting), (0, 0), "a gauge leaks");
        assert!(self.decoder.is_idle());
    }
}

/// Its counts, and how many of its steps were divided.
pub(super) async fn divided(mut stream: Stream<(f32, f32)>) -> Result<(Vec<f32>, usize), EngineError> {
    let (mut out, mut divided) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let (count, size) = chunk?;
        out.push(count);
        divided += usize::from(size < 0.0);
    }
    Ok((out, divided))
}

pub(super) async fn counts(mut stream: Stream<(f32, f32)>) -> Result<Vec<f32>, EngineError> {
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk?.0);
    }
    Ok(out)
}

pub(super) fn upto(steps: usize) -> Vec<f32> {
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
    let streams: Vec<_> = (0..4).map(|_| bench.walks(50)).collect();
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
    let like = Like { workers: 2, few: 2, takes: Duration::from_millis(1), ..Like::default() };
    let bench = Bench::like(8, &[1, 2, 4], &like);
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
    serves_many(Bench::like(6, &[1, 2], &Like { workers: 3, few: 2, ..Like::default() })).await;
}

async fn serves_many(bench: Bench) {
    for _ in 0..50 {
        let streams: Vec<_> = (1..=10).map(|steps| (steps, bench.walks(steps))).collect();
        for (steps, stream) in streams {
            assert_eq!(stream.await.unwrap().unwrap(), upto(steps));
        }
    }
    bench.finish();
}

#[tokio::test]
async fn every_size_is_run_once_by_the_thread_that_steps_before_it_takes_a_stream() {
    let bench = Bench::new(2, &[1, 2]);
    let all = [1, 2].map(|rows| ("test/1/step".to_owned(), rows));
    let seen = || [&bench.orders.frames, &bench.orders.warmed].map(Witness::seen);
    assert_eq!(seen(), [all.to_vec(), all.to_vec()]);
    // By a new session too.
    bench.order(PANIC);
    counts(bench.walk(3)).await.unwrap_err();
    assert_eq!(counts(bench.walk(3)).await.unwrap(), upto(3));
    assert_eq!(seen(), [all.to_vec(), all.to_vec()]);
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
