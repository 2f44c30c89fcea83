use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use atelier_package::{Dtype, TensorSpec};

use super::*;
use crate::runtime::frame::Frame;
use crate::runtime::stop::Stop;
use crate::runtime::witness::Witness;

/// Doubles its input, when and how the test lets it.
struct Tame {
    started: Sender<usize>,
    orders: Arc<Mutex<Receiver<Order>>>,
    stop: Arc<Stopper>,
    frames: Witness,
    warmed: Witness,
    faults: Arc<Faults>,
}

/// What else the test can have go wrong.
#[derive(Default)]
struct Faults {
    /// No session survives an error.
    fragile: AtomicBool,
    /// The next session that is warmed up fails.
    cold: AtomicBool,
}

type Answer = Result<Vec<Tensor>, EngineError>;

/// Ends the run that is under way, as ONNX Runtime would between two nodes; or as the test says.
struct Stopper {
    orders: Sender<Order>,
    stopped: AtomicBool,
    way: AtomicUsize,
}

const ENDS: usize = 0;
const PANICS: usize = 1;
const GOES_ON: usize = 2;

impl Stop for Stopper {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        match self.way.load(Ordering::SeqCst) {
            GOES_ON => {}
            PANICS => self.orders.send(Order::Panic).unwrap(),
            _ => self.orders.send(Order::Fail).unwrap(),
        }
    }

    fn reset(&self) -> bool {
        self.stopped.swap(false, Ordering::SeqCst)
    }
}

enum Order {
    Go,
    Fail,
    Panic,
    /// Fail if this is among the inputs.
    Poison(f32),
}

fn doubled(x: &[f32]) -> Tensor {
    Tensor::f32([x.len()], x.iter().map(|v| v * 2.0).collect()).unwrap()
}

impl Runner for Tame {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let x = inputs[0].as_f32().unwrap();
        self.started.send(x.len()).unwrap();
        let order = self.orders.lock().unwrap().recv().unwrap();
        match order {
            Order::Go => Ok(vec![doubled(x)]),
            Order::Fail => Err(EngineError::Runtime("on purpose".into())),
            Order::Panic => panic!("by accident"),
            Order::Poison(bad) if x.contains(&bad) => Err(EngineError::Runtime("on purpose".into())),
            Order::Poison(_) => Ok(vec![doubled(x)]),
        }
    }

    fn stop(&self) -> Option<Arc<dyn Stop>> {
        Some(Arc::clone(&self.stop) as Arc<dyn Stop>)
    }

    fn survives(&self) -> bool {
        !self.faults.fragile.load(Ordering::SeqCst)
    }

    fn warm(&mut self, frame: Option<&mut Frame>) -> Result<(), EngineError> {
        self.warmed.saw(frame.map_or(0, |frame| frame.rows()));
        match self.faults.cold.swap(false, Ordering::SeqCst) {
            true => Err(EngineError::Runtime("on purpose".into())),
            false => Ok(()),
        }
    }

    fn record(&mut self) -> bool {
        true
    }

    fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        self.frames.frame(spec, rows)
    }
}

struct Bench {
    handle: GraphHandle,
    started: Receiver<usize>,
    orders: Sender<Order>,
    /// Whether a session can be made anew.
    repairs: Arc<AtomicBool>,
    /// Sessions that were made, the first included.
    made: Arc<AtomicUsize>,
    frames: Witness,
    warmed: Witness,
    faults: Arc<Faults>,
    stop: Arc<Stopper>,
}

impl Bench {
    fn new(queue_rows: usize) -> Self {
        Self::set_up(queue_rows, Duration::from_secs(60), Duration::ZERO)
    }

    fn set_up(queue_rows: usize, longest_run: Duration, max_queue_delay: Duration) -> Self {
        Self::with(1, queue_rows, longest_run, max_queue_delay)
    }

    fn with_workers(workers: usize) -> Self {
        Self::with(workers, 64, Duration::from_secs(60), Duration::ZERO)
    }

    fn with(workers: usize, queue_rows: usize, longest_run: Duration, max_queue_delay: Duration) -> Self {
        let (started_tx, started) = channel();
        let (orders, orders_rx) = channel();
        let orders_rx = Arc::new(Mutex::new(orders_rx));
        let repairs = Arc::new(AtomicBool::new(true));
        let made = Arc::new(AtomicUsize::new(0));
        let (stopped, way) = (AtomicBool::new(false), AtomicUsize::new(ENDS));
        let stop = Arc::new(Stopper { orders: orders.clone(), stopped, way });
        let count = Arc::clone(&made);
        let (frames, warmed, faults) = (Witness::default(), Witness::default(), Arc::<Faults>::default());
        let tame = {
            let (stop, frames, warmed) = (Arc::clone(&stop), frames.clone(), warmed.clone());
            let faults = Arc::clone(&faults);
            move || Tame {
                started: started_tx.clone(),
                orders: Arc::clone(&orders_rx),
                stop: Arc::clone(&stop),
                frames: frames.clone(),
                warmed: warmed.clone(),
                faults: Arc::clone(&faults),
            }
        };
        let make = move || {
            count.fetch_add(1, Ordering::SeqCst);
            tame()
        };
        let runners = (0..workers).map(|_| Box::new(make()) as Box<dyn Runner>).collect();
        let make = Mutex::new(make);
        let allowed = Arc::clone(&repairs);
        let tensor = |name: &str| TensorSpec::new(name, Dtype::F32, ["batch".into()]);
        let spec = GraphSpec {
            name: "double".into(),
            file: "double.onnx".into(),
            sha256: String::new(),
            inputs: vec![tensor("x")],
            outputs: vec![tensor("y")],
            ..GraphSpec::default()
        };
        let setup = Setup {
            name: "test/1/double".into(),
            spec: Arc::new(spec),
            sizes: Sizes::of(&[1, 2, 4]),
            joinable: true,
            queue_rows,
            queue_requests: 8,
            queue_bytes: 1 << 20,
            longest_run,
            max_queue_delay,
            threads: 1,
            turnstile: Arc::new(Turnstile::new(workers)),
            factory: Arc::new(move || {
                if allowed.load(Ordering::SeqCst) {
                    Ok(Box::new((make.lock().unwrap())()))
                } else {
                    Err(EngineError::Runtime("no".into()))
                }
            }),
        };
        let handle = GraphHandle::start(setup, runners).unwrap();
        Self { handle, started, orders, repairs, made, frames, warmed, faults, stop }
    }

    /// One whose runs may take so long.
    fn with_longest_run(longest_run: Duration) -> Self {
        Self::set_up(64, longest_run, Duration::ZERO)
    }

    /// One whose batches wait so long for company.
    fn with_delay(delay: Duration) -> Self {
        Self::set_up(64, Duration::from_secs(60), delay)
    }

    /// Sends a request off; its rows are `first`, `first + 1`, …
    fn ask(&self, first: usize, rows: usize, within: Option<Duration>) -> tokio::task::JoinHandle<Answer> {
        let deadline = within.map(|d| Instant::now() + d);
        self.ask_on(first, rows, Terms { deadline, ..Terms::default() })
    }

    fn ask_on(&self, first: usize, rows: usize, terms: Terms) -> tokio::task::JoinHandle<Answer> {
        let handle = self.handle.clone();
        let x = Tensor::f32([rows], (first..first + rows).map(|x| x as f32).collect()).unwrap();
        tokio::spawn(async move { handle.run_on(vec![x], terms).await })
    }

    /// Waits until a batch is being run; how many rows it has, padding included.
    async fn begun(&self) -> usize {
        for _ in 0..10_000 {
            if let Ok(rows) = self.started.try_recv() {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("no batch was begun");
    }

    async fn queued(&self, count: usize) {
        for _ in 0..10_000 {
            if self.handle.stats().queued == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{:?}", self.handle.stats());
    }

    fn finish(self) {
        self.handle.stop();
        let stats = self.handle.stats();
        assert_eq!((stats.queued, stats.running), (0, 0), "a gauge leaks");
    }
}

fn values(reply: Result<Answer, tokio::task::JoinError>) -> Vec<f32> {
    reply.unwrap().unwrap().remove(0).into_f32().unwrap()
}

#[tokio::test]
async fn what_comes_while_the_worker_is_busy_is_joined_into_the_next_batch() {
    let bench = Bench::new(64);
    let first = bench.ask(10, 1, None);
    assert_eq!(bench.begun().await, 1);
    let others = [bench.ask(20, 1, None), bench.ask(30, 2, None)];
    bench.queued(3).await;
    bench.orders.send(Order::Go).unwrap();
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(bench.begun().await, 4, "three rows, padded to the next size");
    assert_eq!(values(first.await), [20.0]);
    let [a, b] = others;
    assert_eq!((values(a.await), values(b.await)), (vec![40.0], vec![60.0, 62.0]));
    bench.finish();
}

#[tokio::test]
async fn a_batch_waits_for_company_until_it_is_full_and_no_longer_than_is_allowed() {
    let bench = Bench::with_delay(Duration::from_secs(3600));
    let first = bench.ask(1, 2, None);
    bench.queued(1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(bench.started.try_recv().is_err(), "two of four rows are there, and run");
    let second = bench.ask(5, 2, None);
    assert_eq!(bench.begun().await, 4);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!((values(first.await), values(second.await)), (vec![2.0, 4.0], vec![10.0, 12.0]));
    bench.finish();

    let bench = Bench::with_delay(Duration::from_millis(20));
    let alone = bench.ask(1, 1, None);
    assert_eq!(bench.begun().await, 1);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(alone.await), [2.0]);
    bench.finish();
}

#[tokio::test]
async fn an_end_does_not_wait_for_company() {
    let bench = Bench::with_delay(Duration::from_secs(3600));
    let waiting = bench.ask(1, 1, None);
    bench.queued(1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(bench.started.try_recv().is_err(), "it waits, and its worker sleeps");
    bench.handle.drain();
    assert_eq!(bench.begun().await, 1);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(waiting.await), [2.0]);
    bench.finish();
}

#[tokio::test]
async fn a_deadline_passes_while_every_worker_is_busy_and_the_request_is_never_run() {
    let bench = Bench::new(64);
    let first = bench.ask(1, 1, None);
    bench.begun().await;
    let late = bench.ask(2, 1, Some(Duration::from_millis(30)));
    assert_eq!(late.await.unwrap(), Err(EngineError::DeadlineExceeded), "answered while the worker is busy");
    assert_eq!(bench.handle.stats().queued, 1);
    // The deadline of one that is being run passes too: it is told at once.
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(first.await), [2.0]);
    let running = bench.ask(3, 1, Some(Duration::from_millis(30)));
    bench.begun().await;
    assert_eq!(running.await.unwrap(), Err(EngineError::DeadlineExceeded));
    assert!(bench.started.try_recv().is_err());
    assert_eq!(bench.handle.stats().expired, 2);
    bench.finish();
}

#[tokio::test]
async fn a_dropped_future_takes_its_rows_out_of_a_full_queue() {
    let bench = Bench::new(4);
    let first = bench.ask(1, 1, None);
    bench.begun().await;
    let gone = bench.ask(2, 4, None);
    bench.queued(2).await;
    let refused = bench.ask(3, 1, None).await.unwrap();
    assert!(matches!(refused, Err(EngineError::QueueFull { .. })), "{refused:?}");
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let next = bench.ask(4, 4, None);
    bench.queued(2).await;
    bench.orders.send(Order::Go).unwrap();
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(first.await), [2.0]);
    assert_eq!(values(next.await), [8.0, 10.0, 12.0, 14.0]);
    bench.finish();
}

#[tokio::test]
async fn what_a_batch_leaves_is_run_by_another_worker_at_the_same_time() {
    let bench = Bench::with_workers(2);
    // Until both sleep: one who looks around by himself need not be woken.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let whole = bench.ask(1, 8, None);
    // Neither run ends before both have begun.
    assert_eq!([bench.begun().await, bench.begun().await], [4, 4]);
    bench.orders.send(Order::Go).unwrap();
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(whole.await), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
    bench.finish();
}

#[tokio::test]
async fn a_worker_without_a_session_keeps_nobody_waiting_whom_the_other_can_serve() {
    let bench = Bench::with_workers(2);
    bench.repairs.store(false, Ordering::SeqCst);
    let bad = bench.ask(1, 1, None);
    bench.orders.send(Order::Panic).unwrap();
    assert!(bad.await.unwrap().is_err());
    // Each waits longer than the last attempt of the broken one, which is therefore the first to be woken.
    for first in [2, 3, 4] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let good = bench.ask(first, 1, None);
        bench.orders.send(Order::Go).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), good).await;
        assert_eq!(values(answer.expect("it is served")), [2.0 * first as f32]);
    }
    bench.finish();
}

#[tokio::test]
async fn who_is_served_finds_frames_of_all_sizes_made_by_the_thread_that_runs_them() {
    let bench = Bench::new(64);
    let all = [1, 2, 4].map(|rows| ("test/1/double#0".to_owned(), rows));
    assert_eq!(bench.frames.seen(), all);
    assert_eq!(bench.warmed.seen(), all, "and each was run");
    // Those of a new session too, before it takes any work.
    let bad = bench.ask(1, 1, None);
    bench.orders.send(Order::Panic).unwrap();
    assert!(bad.await.unwrap().is_err());
    let good = bench.ask(2, 2, None);
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(good.await), [4.0, 6.0]);
    assert_eq!(bench.frames.seen(), all);
    assert_eq!(bench.warmed.seen(), all);
    bench.finish();
}

#[tokio::test]
async fn before_anyone_is_served_every_worker_has_run_every_size() {
    let bench = Bench::with_workers(3);
    let mut warmed = bench.warmed.seen();
    warmed.sort();
    let all = [0, 1, 2].map(|worker| [1, 2, 4].map(|rows| (format!("test/1/double#{worker}"), rows)));
    assert_eq!(warmed, all.concat());
    bench.finish();
}

#[tokio::test]
async fn a_higher_priority_goes_before_those_who_wait_longer() {
    let bench = Bench::new(64);
    let first = bench.ask(0, 1, None);
    bench.begun().await;
    let waiting = bench.ask(10, 4, None);
    bench.queued(2).await;
    let high = bench.ask_on(20, 4, Terms { priority: crate::Priority::High, ..Terms::default() });
    bench.queued(3).await;
    bench.orders.send(Order::Go).unwrap();
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(first.await), [0.0]);
    assert_eq!(values(high.await), [40.0, 42.0, 44.0, 46.0]);
    assert!(!waiting.is_finished());
    bench.orders.send(Order::Go).unwrap();
    assert_eq!(values(waiting.await), [20.0, 22.0, 24.0, 26.0]);
    bench.finish();
}

#[tokio::test]
async fn a_request_larger_than_a_batch_comes_back_whole_and_in_order() {
    let bench = Bench::new(64);
    let large = bench.ask(0, 11, None);
    for rows in [4, 4, 4] {
        bench.orders.send(Order::Go).unwrap();
        assert_eq!(bench.begun().await, rows);
    }
    assert_eq!(values(large.await), (0..11).map(|x| x as f32 * 2.0).collect::<Vec<_>>());
    bench.finish();
}

#[path = "fault_tests.rs"]
mod faults;
