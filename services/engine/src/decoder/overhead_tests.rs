//! What the decoder adds to the graph that it runs, in time on the processor (which other processes disturb
//! little) with one thread. Not asserted, since it is a matter of time; printed by
//! `cargo test --release -p atelier-engine -- --ignored --nocapture overhead`, for the package in
//! `ATELIER_BENCH_PACKAGE` or else the little WaveNet of the tests.

use std::path::PathBuf;

use atelier_package::Package;

use super::*;
use crate::runtime::session::GraphSession;
use crate::runtime::{Device, Runtime};

/// Steps that are timed together, and how often: the least of the times is what the machine can do.
const STEPS: usize = 100;
const ROUNDS: usize = 60;

/// Takes steps, does nothing with them, and says when it has taken as many as are timed together.
#[derive(Default)]
struct Treading(usize);

impl Cursor for Treading {
    type Chunk = Duration;

    fn first(&mut self) -> i64 {
        0
    }

    fn fill(&mut self, _input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        row.fill(0.1);
        Ok(())
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<Duration>, EngineError> {
        self.0 += 1;
        let emit = self.0.is_multiple_of(STEPS).then(computed);
        Ok(if self.0 == STEPS * ROUNDS { Step::Done { emit } } else { Step::Next { token: 0, emit } })
    }
}

#[tokio::test]
#[ignore = "prints times"]
async fn overhead_of_a_step_beside_the_bare_graph() {
    let little = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/wave/1");
    let path = std::env::var_os("ATELIER_BENCH_PACKAGE").map_or(PathBuf::from(little), PathBuf::from);
    let package = Package::open(&path).unwrap();
    let spec = Arc::new(package.manifest().graph("step").unwrap().clone());
    let shape = Arc::new(StepShape::of(&spec).unwrap());
    let runtime = Runtime::load(None).unwrap();
    for streams in [1, 16] {
        let bytes = package.graph_bytes("step").unwrap();
        let factory: Factory = {
            let spec = Arc::clone(&spec);
            Arc::new(move || {
                let session =
                    GraphSession::new(runtime, &bytes, Arc::clone(&spec), Device::Cpu, 1, &Arc::default())?;
                Ok(Box::new(session) as Box<dyn Runner>)
            })
        };
        let mut runner = factory().unwrap();
        let mut frame = runner.frame(&spec, streams).unwrap();
        let mut times = vec![computed()];
        for _ in 0..ROUNDS {
            for _ in 0..STEPS {
                runner.run_frame(&mut frame).unwrap();
            }
            times.push(computed());
        }
        let bare = least(&times);
        let setup = Setup {
            name: "bench".into(),
            spec: Arc::clone(&spec),
            shape: Arc::clone(&shape),
            sizes: Sizes::of(&[1, streams]),
            slots: streams,
            waiting: 1,
            buffer: ROUNDS,
            longest_run: Duration::from_secs(60),
            threads: 1,
            turnstile: Arc::new(Turnstile::new(1)),
            factory,
            divided: None,
        };
        let decoder = Decoder::start(setup, vec![runner], Vec::new()).unwrap();
        let mut running: Vec<_> =
            (0..streams).map(|_| decoder.stream(Treading::default(), None).unwrap()).collect();
        let mut times = Vec::new();
        while let Some(time) = running[0].next().await {
            times.push(time.unwrap());
        }
        let served = least(&times);
        decoder.stop();
        println!(
            "{}: {streams:2} streams: graph {bare:?} a step, served {served:?}: {:.3} times",
            package.name(),
            served.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

/// How long this thread has been computing.
fn computed() -> Duration {
    // Linux: nanoseconds on the processor, nanoseconds waiting for it, turns.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// The least time of a step.
fn least(times: &[Duration]) -> Duration {
    times.windows(2).map(|w| w[1] - w[0]).min().unwrap_or_default() / STEPS as u32
}
