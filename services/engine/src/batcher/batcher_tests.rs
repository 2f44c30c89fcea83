use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use atelier_package::{Dtype, TensorSpec};

use super::*;

/// Doubles its input, when and how the test lets it.
struct Tame {
    started: Sender<usize>,
    orders: Arc<Mutex<Receiver<Order>>>,
}

enum Order {
    Go,
    Fail,
    Panic,
}

impl Runner for Tame {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let x = inputs[0].as_f32().unwrap();
        self.started.send(x.len()).unwrap();
        let order = self.orders.lock().unwrap().recv().unwrap();
        match order {
            Order::Go => Ok(vec![Tensor::f32([x.len()], x.iter().map(|v| v * 2.0).collect()).unwrap()]),
            Order::Fail => Err(EngineError::Runtime("on purpose".into())),
            Order::Panic => panic!("by accident"),
        }
    }
}

struct Bench {
    handle: GraphHandle,
    started: Receiver<usize>,
    orders: Sender<Order>,
    /// Whether a session can be made anew.
    repairs: Arc<std::sync::atomic::AtomicBool>,
}

impl Bench {
    fn new(queue_rows: usize) -> Self {
        let (started_tx, started) = channel();
        let (orders, orders_rx) = channel();
        let orders_rx = Arc::new(Mutex::new(orders_rx));
        let repairs = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let make = move || Tame { started: started_tx.clone(), orders: Arc::clone(&orders_rx) };
        let first: Box<dyn Runner> = Box::new(make());
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
            threads: 1,
            turnstile: Arc::new(Turnstile::new(1)),
            factory: Arc::new(move || {
                if allowed.load(Ordering::SeqCst) {
                    Ok(Box::new((make.lock().unwrap())()))
                } else {
                    Err(EngineError::Runtime("no".into()))
                }
            }),
        };
        Self { handle: GraphHandle::start(setup, vec![first]).unwrap(), started, orders, repairs }
    }

    /// Sends a request off; its rows are `first`, `first + 1`, …
    fn ask(&self, first: usize, rows: usize, within: Option<Duration>) -> tokio::task::JoinHandle<Reply> {
        let handle = self.handle.clone();
        let x = Tensor::f32([rows], (first..first + rows).map(|x| x as f32).collect()).unwrap();
        tokio::spawn(async move { handle.run(vec![x], within.map(|d| Instant::now() + d)).await })
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

fn values(reply: Result<Reply, tokio::task::JoinError>) -> Vec<f32> {
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
    bench.orders.send(Order::Go).unwrap();
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
async fn an_error_or_panic_fails_its_batch_and_the_next_is_served_by_a_new_session() {
    let bench = Bench::new(64);
    for order in [Order::Fail, Order::Panic] {
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
    }
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
