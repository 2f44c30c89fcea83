//! The orders in which threads may take their turns at batcher and decoder, tried by `shuttle`: callers that go,
//! workers that fail, and an end that comes while both are busy. A lost wake-up shows as a deadlock, a lost answer as
//! a caller that never ends.
//!
//! `cargo test -p atelier-engine --features shuttle --lib orders`. No deadlines here: shuttle has no clock.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atelier_package::{Dtype, GraphSpec, StatePair, Tensor, TensorSpec};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::batcher::{GraphHandle, Setup};
use crate::decoder::shape::StepShape;
use crate::decoder::{self, Cursor, Decoder, Step};
use crate::runtime::frame::Frame;
use crate::runtime::session::Runner;
use crate::sizes::Sizes;
use crate::turnstile::Turnstile;
use crate::{EngineError, Health};

/// Orders tried at random, and as many by the scheduler that looks for rare ones (Burckhardt et al. 2010), which
/// needs no more than this many changes of turn at places that matter.
const TRIES: usize = 5_000;
const CHANGES: usize = 3;

fn every_order(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), TRIES);
    shuttle::check_pct(test, TRIES, CHANGES);
}

/// Doubles its input; fails at the runs that are told, and does not survive that.
struct Doubling {
    run: Arc<AtomicUsize>,
    bad: fn(usize) -> bool,
    broken: bool,
}

impl Runner for Doubling {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        if (self.bad)(self.run.fetch_add(1, Ordering::SeqCst)) {
            self.broken = true;
            return Err(EngineError::Runtime("on purpose".into()));
        }
        let x = inputs[0].as_f32().unwrap();
        Ok(vec![Tensor::f32([x.len()], x.iter().map(|v| v * 2.0).collect()).unwrap()])
    }

    fn survives(&self) -> bool {
        false
    }

    fn warm(&mut self, _frame: Option<&mut Frame>) -> Result<(), EngineError> {
        match self.broken {
            true => Err(EngineError::Runtime("broken".into())),
            false => Ok(()),
        }
    }
}

fn graph(workers: usize, bad: fn(usize) -> bool) -> GraphHandle {
    let run = Arc::new(AtomicUsize::new(0));
    let tensor = |name: &str| TensorSpec::new(name, Dtype::F32, ["batch".into()]);
    let spec = GraphSpec {
        name: "double".into(),
        file: "double.onnx".into(),
        inputs: vec![tensor("x")],
        outputs: vec![tensor("y")],
        ..GraphSpec::default()
    };
    let runner = move || Box::new(Doubling { run: Arc::clone(&run), bad, broken: false }) as Box<dyn Runner>;
    let first = (0..workers).map(|_| runner()).collect();
    let setup = Setup {
        name: "test/1/double".into(),
        spec: Arc::new(spec),
        sizes: Sizes::of(&[1, 2]),
        joinable: true,
        queue_rows: 8,
        queue_requests: 8,
        queue_bytes: 1 << 20,
        longest_run: Duration::from_secs(3600),
        max_queue_delay: Duration::ZERO,
        threads: 1,
        // Fewer may run than there are, as where graphs share the cores.
        turnstile: Arc::new(Turnstile::new(1)),
        factory: Arc::new(move || Ok(runner())),
    };
    GraphHandle::start(setup, first).unwrap()
}

fn ask(handle: &GraphHandle, x: f32) -> impl Future<Output = Result<f32, EngineError>> + Send + 'static {
    let handle = handle.clone();
    async move {
        let answer = handle.run(vec![Tensor::f32([1], vec![x]).unwrap()], None).await?;
        Ok(answer[0].as_f32().unwrap()[0])
    }
}

/// Asks once whether a future is ready, and gives it up.
fn give_up<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn assert_nothing_left(handle: &GraphHandle) {
    let stats = handle.stats();
    assert_eq!((stats.queued, stats.running), (0, 0), "a gauge leaks");
    assert!(handle.is_idle());
    let over = stats.answered + stats.refused + stats.expired + stats.failed + stats.cancelled;
    assert_eq!(over, 3, "each of three requests ends once: {stats:?}");
}

#[test]
fn everyone_is_answered_whoever_gives_up_beside_them() {
    every_order(|| {
        let handle = graph(2, |_| false);
        let stays = [1.0, 2.0].map(|x| {
            let asked = ask(&handle, x);
            thread::spawn(move || assert_eq!(block_on(asked).unwrap(), 2.0 * x))
        });
        let asked = ask(&handle, 3.0);
        let goes = thread::spawn(move || drop(give_up(asked)));
        stays.into_iter().chain([goes]).for_each(|caller| caller.join().unwrap());
        handle.stop();
        assert_nothing_left(&handle);
    });
}

#[test]
fn an_end_that_comes_at_any_time_leaves_no_caller_without_an_answer() {
    every_order(|| {
        let handle = graph(2, |_| false);
        let callers = [1.0, 2.0].map(|x| {
            let asked = ask(&handle, x);
            thread::spawn(move || match block_on(asked) {
                Ok(answer) => assert_eq!(answer, 2.0 * x),
                Err(error) => assert!(matches!(error, EngineError::Draining), "{error}"),
            })
        });
        let asked = ask(&handle, 3.0);
        let goes = thread::spawn(move || drop(give_up(asked)));
        handle.stop();
        callers.into_iter().chain([goes]).for_each(|caller| caller.join().unwrap());
        assert_nothing_left(&handle);
        assert_eq!(handle.health(), Health::Draining);
    });
}

#[test]
fn a_worker_that_fails_takes_nobody_elses_answer_with_it() {
    every_order(|| {
        // Whoever is in the first run: two that are joined are tried again by themselves, one alone fails.
        let handle = graph(2, |run| run == 0);
        let callers = [1.0, 2.0, 3.0].map(|x| {
            let asked = ask(&handle, x);
            thread::spawn(move || match block_on(asked) {
                Ok(answer) => {
                    assert_eq!(answer, 2.0 * x);
                    0
                }
                Err(error) => {
                    assert!(matches!(error, EngineError::Runtime(_)), "{error}");
                    1
                }
            })
        });
        let failed: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert!(failed <= 1, "one run failed, and {failed} requests with it");
        handle.stop();
        assert_nothing_left(&handle);
    });
}

/// Its logits and its state are how many steps it has taken.
struct Counting;

impl Runner for Counting {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let count: Vec<f32> = inputs[1].as_f32().unwrap().iter().map(|x| x + 1.0).collect();
        let rows = count.len();
        Ok(vec![Tensor::f32([rows, 1], count.clone()).unwrap(), Tensor::f32([1, rows, 1], count).unwrap()])
    }
}

/// Goes so many steps and says what it counted.
struct Walker(usize);

impl Cursor for Walker {
    type Chunk = f32;

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<f32>, EngineError> {
        self.0 -= 1;
        let emit = Some(logits[0]);
        Ok(if self.0 == 0 { Step::Done { emit } } else { Step::Next { token: 0, emit } })
    }
}

/// Up to `few` streams are stepped by a session whose threads divide a step.
fn steps(workers: usize, slots: usize, few: usize) -> Decoder {
    let state = |name: &str| TensorSpec::new(name, Dtype::F32, [1.into(), "batch".into(), 1.into()]);
    let spec = GraphSpec {
        name: "step".into(),
        file: "step.onnx".into(),
        inputs: vec![TensorSpec::new("token", Dtype::I64, ["batch".into()]), state("h")],
        outputs: vec![TensorSpec::new("logits", Dtype::F32, ["batch".into(), 1.into()]), state("h_next")],
        state: vec![StatePair { input: "h".into(), output: "h_next".into() }],
        ..GraphSpec::default()
    };
    let setup = decoder::Setup {
        name: "test/1/step".into(),
        shape: Arc::new(StepShape::of(&spec).unwrap()),
        spec: Arc::new(spec),
        sizes: Sizes::of(&[1, 2]),
        slots,
        waiting: 4,
        // So that a stream is parked at every step.
        buffer: 1,
        longest_run: Duration::from_secs(3600),
        threads: 1,
        turnstile: Arc::new(Turnstile::new(workers)),
        factory: Arc::new(|| Ok(Box::new(Counting))),
        divided: (few > 0).then(|| decoder::Divided {
            few,
            threads: workers,
            factory: Arc::new(|| Ok(Box::new(Counting))),
        }),
    };
    let sessions = |count| (0..count).map(|_| Box::new(Counting) as Box<dyn Runner>).collect();
    Decoder::start(setup, sessions(workers), sessions(if few > 0 { workers } else { 0 })).unwrap()
}

async fn counts(decoder: Decoder, steps: usize) -> Result<Vec<f32>, EngineError> {
    let mut stream = decoder.stream(Walker(steps), None)?;
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk?);
    }
    Ok(out)
}

fn assert_nobody_left(decoder: &Decoder) {
    let stats = decoder.stats();
    assert_eq!((stats.slots_used, stats.waiting), (0, 0), "a gauge leaks");
    assert!(decoder.is_idle());
}

#[test]
fn streams_that_park_at_every_step_come_to_their_end() {
    // Fewer slots than streams: one waits for another's end.
    every_order(|| come_to_their_end(steps(2, 2, 0)));
}

#[test]
fn so_do_streams_of_which_few_are_kept_together() {
    // With a worker that has the others' turn to wait for.
    every_order(|| come_to_their_end(steps(3, 2, 2)));
    every_order(|| come_to_their_end(steps(2, 4, 2)));
}

fn come_to_their_end(decoder: Decoder) {
    let streams = [2, 3].map(|steps| {
        let counted = counts(decoder.clone(), steps);
        let expected: Vec<f32> = (1..=steps).map(|x| x as f32).collect();
        thread::spawn(move || assert_eq!(block_on(counted).unwrap(), expected))
    });
    let gone = decoder.clone();
    let goes = thread::spawn(move || drop(gone.stream(Walker(3), None).unwrap()));
    streams.into_iter().chain([goes]).for_each(|stream| stream.join().unwrap());
    decoder.stop();
    assert_nobody_left(&decoder);
}

#[test]
fn an_end_that_comes_at_any_time_ends_every_stream() {
    every_order(|| {
        let decoder = steps(2, 2, 1);
        let streams = [1, 2].map(|steps| {
            let counted = counts(decoder.clone(), steps);
            thread::spawn(move || match block_on(counted) {
                Ok(out) => assert_eq!(out.len(), steps),
                Err(error) => assert!(matches!(error, EngineError::Draining), "{error}"),
            })
        });
        decoder.stop();
        streams.into_iter().for_each(|stream| stream.join().unwrap());
        assert_nobody_left(&decoder);
    });
}
