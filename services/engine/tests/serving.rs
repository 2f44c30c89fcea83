//! Serves the little packages of `tests/models` on the real runtime.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use atelier_engine::{
    Batching, Config, Cursor, Device, Engine, EngineError, Health, Sampler, Sampling, Step, Tensor, seed,
};
use atelier_package::{Package, Repository};

fn packages() -> Vec<Package> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    assert!(repository.rejected().is_empty(), "{:?}", repository.rejected());
    repository.latest().cloned().collect()
}

fn engine(config: Config) -> Engine {
    let engine = Engine::load(&config, &packages()).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn noise(seed: u64, rows: usize) -> Tensor {
    let x = seed::normal(seed, rows * 24).iter().map(|x| (x / 5.0).clamp(-1.0, 1.0)).collect();
    Tensor::f32([rows, 24], x).unwrap()
}

fn bits(outputs: &[Tensor]) -> Vec<u8> {
    outputs.iter().flat_map(Tensor::to_le_bytes).collect()
}

/// Writes `length` tokens, each drawn by the stream's own sampler.
struct Writer {
    sampler: Sampler,
    left: usize,
    first: i64,
}

impl Writer {
    fn new(seed: u64, length: usize) -> Self {
        Self { sampler: Sampler::new(Sampling::default(), seed), left: length, first: (seed % 7) as i64 }
    }
}

impl Cursor for Writer {
    /// The token and the bits of its logits.
    type Chunk = (i64, Vec<u32>);

    fn first(&mut self) -> i64 {
        self.first
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        let token = self.sampler.sample(logits)? as i64;
        let emit = Some((token, logits.iter().map(|x| x.to_bits()).collect()));
        self.left -= 1;
        Ok(if self.left == 0 { Step::Done { emit } } else { Step::Next { token, emit } })
    }
}

async fn write(engine: &Engine, seed: u64, length: usize) -> Vec<(i64, Vec<u32>)> {
    let model = engine.model("rnn", 0, &[]).unwrap();
    let mut stream = model.decoder().unwrap().stream(Writer::new(seed, length), None).unwrap();
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk.unwrap());
    }
    out
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_has_the_same_bits_whatever_it_is_batched_with() {
    let engine = engine(Config::default());
    let model = engine.model("mlp", 0, &[]).unwrap();
    let graph = model.graph("mlp").unwrap();
    assert!(graph.batch_sizes().len() > 1, "nothing is batched: {:?}", graph.batch_sizes());
    let mut alone = Vec::new();
    for seed in 0..60 {
        alone.push(graph.run(vec![noise(seed, 1)], None).await.unwrap());
    }
    let before = graph.stats();
    // Polled by one task: all of them are in the queue before the first is answered.
    let together = (0..60).map(|seed| graph.run(vec![noise(seed, 1)], None));
    for (seed, outputs) in futures_util::future::join_all(together).await.into_iter().enumerate() {
        assert_eq!(bits(&outputs.unwrap()), bits(&alone[seed]), "seed {seed}");
    }
    let after = graph.stats();
    assert_eq!(after.rows - before.rows, 60);
    assert!(after.batches - before.batches < 60, "nobody was batched: {after:?}");
    // More rows than a batch holds come back in order.
    let rows: Vec<f32> = (0..60).flat_map(|s| noise(s, 1).into_f32().unwrap()).collect();
    let many = graph.run(vec![Tensor::f32([60, 24], rows).unwrap()], None).await.unwrap();
    let alone: Vec<u8> = alone.iter().flat_map(|o| bits(o)).collect();
    assert_eq!(bits(&many), alone);
    assert_eq!((graph.stats().queued, graph.stats().running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_same_bits_whatever_others_come_and_go() {
    let config = Config { slots: 8, waiting: 64, ..Config::default() };
    let engine = engine(config);
    let mut alone = Vec::new();
    for seed in 0..40 {
        alone.push(write(&engine, seed, 5 + seed as usize).await);
    }
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let before = decoder.stats();
    let mut together = tokio::task::JoinSet::new();
    for seed in 0..40 {
        let engine = engine.clone();
        together.spawn(async move { (seed, write(&engine, seed, 5 + seed as usize).await) });
    }
    while let Some(done) = together.join_next().await {
        let (seed, chunks) = done.unwrap();
        assert_eq!(chunks, alone[seed as usize], "seed {seed}");
    }
    let after = decoder.stats();
    let (steps, runs) = (after.steps - before.steps, after.iterations - before.iterations);
    assert!(runs * 2 < steps, "streams were not advanced together: {runs} runs for {steps} steps");
    assert_eq!((after.slots_used, after.waiting), (0, 0));
    assert_eq!(after.finished, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_the_step_graph_run_by_hand() {
    let rnn = packages().into_iter().find(|p| p.name().as_str() == "rnn").unwrap();
    let dir = tempfile::tempdir().unwrap();
    // The same graph without its state pairs is served as a stateless one.
    let mut manifest = rnn.manifest().clone();
    manifest.kind = atelier_package::Kind::Onnx;
    manifest.vocabulary = None;
    manifest.graphs[0].state.clear();
    let by_hand = atelier_package::PackageWriter::new(manifest, rnn.golden().clone())
        .graph("step", rnn.graph_bytes("step").unwrap())
        .write(&dir.path().join("1"), atelier_package::Existing::Refuse)
        .unwrap();
    let hand = Engine::load(&Config::default(), &[by_hand]).unwrap();
    let hand = hand.model("rnn", 0, &[]).unwrap();
    let zeros = || Tensor::f32([2, 1, 16], vec![0.0; 32]).unwrap();
    let (mut h, mut c, mut writer) = (zeros(), zeros(), Writer::new(11, 100));
    let mut token = writer.first();
    let mut expected = Vec::new();
    loop {
        let inputs = vec![Tensor::i64([1], vec![token]).unwrap(), h, c];
        let mut outputs = hand.run("step", inputs, None).await.unwrap().into_iter();
        let logits = outputs.next().unwrap().into_f32().unwrap();
        (h, c) = (outputs.next().unwrap(), outputs.next().unwrap());
        match writer.advance(&logits).unwrap() {
            Step::Next { token: next, emit } => {
                expected.extend(emit);
                token = next;
            }
            Step::Done { emit } => {
                expected.extend(emit);
                break;
            }
        }
    }
    let engine = engine(Config::default());
    let others: Vec<_> = (0..5)
        .map(|seed| {
            let engine = engine.clone();
            tokio::spawn(async move { write(&engine, seed, 150).await })
        })
        .collect();
    assert_eq!(write(&engine, 11, 100).await, expected);
    for other in others {
        other.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_parked_and_holds_up_nobody() {
    let engine = engine(Config { slots: 2, stream_buffer: 4, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let expected = write(&engine, 5, 50).await;
    let mut slow = decoder.stream(Writer::new(5, 50), None).unwrap();
    // Three times through the other slot while the slow one takes nothing.
    for seed in 1..4 {
        assert_eq!(write(&engine, seed, 200).await.len(), 200);
    }
    assert_eq!(decoder.stats().slots_used, 1);
    let mut got = Vec::new();
    while let Some(chunk) = slow.next().await {
        got.push(chunk.unwrap());
    }
    assert_eq!(got, expected, "parking changed the stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_slot_at_once() {
    let engine = engine(Config { slots: 1, waiting: 1, stream_buffer: 1, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let parked = decoder.stream(Writer::new(1, 1000), None).unwrap();
    until("the slot is taken", || decoder.stats().slots_used == 1).await;
    let waiting = decoder.stream(Writer::new(2, 3), None).unwrap();
    let refused = decoder.stream(Writer::new(3, 3), None).map(|_| ()).unwrap_err();
    assert!(matches!(refused, EngineError::QueueFull { .. }), "{refused:?}");
    drop(parked);
    let mut waiting = waiting;
    assert!(waiting.next().await.unwrap().is_ok());
    drop(waiting);
    until("the slot is free", || decoder.stats().slots_used == 0).await;
    assert_eq!(decoder.stats().cancelled, 2);
    assert_eq!(decoder.stats().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_deadline_also_while_it_waits_or_is_parked() {
    let engine = engine(Config { slots: 1, stream_buffer: 1, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let mut parked = decoder.stream(Writer::new(1, 1000), Some(soon + Duration::from_millis(50))).unwrap();
    until("the slot is taken", || decoder.stats().slots_used == 1).await;
    let mut waiting = decoder.stream(Writer::new(2, 3), Some(soon)).unwrap();
    assert_eq!(waiting.next().await, Some(Err(EngineError::DeadlineExceeded)));
    assert_eq!(waiting.next().await, None);
    // Nobody reads from the parked one, and yet its slot becomes free.
    until("the slot is free", || decoder.stats().slots_used == 0).await;
    let mut last = parked.next().await;
    while let Some(Ok(_)) = last {
        last = parked.next().await;
    }
    assert_eq!(last, Some(Err(EngineError::DeadlineExceeded)));
    let past = decoder.stream(Writer::new(1, 1), Some(Instant::now())).map(|_| ());
    assert_eq!(past, Err(EngineError::DeadlineExceeded));
}

type Way = fn() -> Result<Step<()>, EngineError>;

/// Fails in its own way at the third step.
struct Bad(u32, Way);

impl Cursor for Bad {
    type Chunk = ();

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<()>, EngineError> {
        self.0 += 1;
        if self.0 == 3 { (self.1)() } else { Ok(Step::Next { token: 1, emit: None }) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_wrong_ends_alone() {
    let engine = engine(Config::default());
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let expected = write(&engine, 9, 300).await;
    let other = tokio::spawn({
        let engine = engine.clone();
        async move { write(&engine, 9, 300).await }
    });
    let ways: [(Way, &str); 3] = [
        (|| Err(EngineError::Runtime("on purpose".into())), "on purpose"),
        (|| panic!("by accident"), "panicked: by accident"),
        (|| Ok(Step::Next { token: 7, emit: None }), "token: is 7, but the model has tokens 0 to 6"),
    ];
    for (way, text) in ways {
        let mut stream = decoder.stream(Bad(0, way), None).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap_err().to_string(), text);
        assert_eq!(stream.next().await, None);
    }
    assert_eq!(other.await.unwrap(), expected);
    assert_eq!((decoder.stats().failed, decoder.stats().slots_used), (3, 0));
    assert_eq!(decoder.health(), Health::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_in_the_runtime_does_not_take_the_model_down() {
    let engine = engine(Config::default());
    let model = engine.model("lookup", 0, &[]).unwrap();
    let graph = model.graph("lookup").unwrap();
    let good = || vec![Tensor::i64([2], vec![1, 2]).unwrap()];
    let expected = graph.run(good(), None).await.unwrap();
    for _ in 0..3 {
        let bad = graph.run(vec![Tensor::i64([1], vec![99]).unwrap()], None).await.unwrap_err();
        assert!(matches!(bad, EngineError::Runtime(_)), "{bad:?}");
        assert_eq!(graph.run(good(), None).await.unwrap(), expected);
    }
    assert_eq!(graph.stats().failed, 3);
    assert_eq!((graph.stats().queued, graph.stats().running), (0, 0));
    until("the worker is back", || graph.health() == Health::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_do_not_fit_are_refused_naming_them() {
    let engine = engine(Config { queue_rows: 64, ..Config::default() });
    let model = engine.model("mlp", 0, &[]).unwrap();
    let f32s = |shape: &[usize], x: f32| Tensor::f32(shape, vec![x; shape.iter().product()]).unwrap();
    let cases = [
        (vec![], "inputs: there are 0, but 1 is right (x)"),
        (vec![f32s(&[1, 23], 0.0)], "x: is f32 [1, 23], but f32 [batch, 24] is right"),
        (vec![f32s(&[0, 24], 0.0)], "x: is f32 [0, 24], but f32 [batch, 24] is right, with batch at least 1"),
        (vec![Tensor::i64([1, 24], vec![0; 24]).unwrap()], "x: is i64 [1, 24], but f32 [batch, 24] is right"),
        (vec![f32s(&[1, 24], 1.5)], "x: element 0 is 1.5, but values from -1 to 1 are right"),
        (vec![f32s(&[1, 24], f32::NAN)], "x: element 0 is NaN, but values from -1 to 1 are right"),
        (vec![f32s(&[65, 24], 0.0)], "batch: is 65, but at most 64 rows are taken at a time"),
    ];
    for (inputs, text) in cases {
        let e = model.run("mlp", inputs, None).await.unwrap_err();
        assert!(matches!(e, EngineError::InvalidInput { .. }));
        assert_eq!(e.to_string(), text);
    }
    let e = model.run("nope", vec![], None).await.unwrap_err().to_string();
    assert_eq!(e, "model mlp/1 has no graph `nope`; it has: mlp");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_found_by_name_version_and_kind() {
    let engine = engine(Config::default());
    let kind = atelier_package::Kind::CharRnn;
    assert_eq!(engine.model("", 0, &[kind]).unwrap().name().as_str(), "rnn");
    assert_eq!(engine.model("mlp", 1, &[]).unwrap().version().get(), 1);
    assert_eq!(engine.model("", 0, &[]).unwrap().name().as_str(), "conv");
    let e = |name, version, kinds: &[_]| engine.model(name, version, kinds).unwrap_err().to_string();
    assert_eq!(e("mlp", 0, &[kind]), "there is no model `mlp` that can do this; there are: rnn/1");
    assert_eq!(
        e("mlp", 2, &[]),
        "there is no model `mlp` in version 2 that can do this; there are: conv/1, lookup/1, mlp/1, rnn/1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_future_is_dropped_or_whose_deadline_passes_leaves_nothing_behind() {
    let engine = engine(Config::default());
    let model = engine.model("conv", 0, &[]).unwrap();
    let graph = model.graph("conv").unwrap();
    let image = |rows: usize| vec![Tensor::f32([rows, 1, 12, 12], vec![0.5; rows * 144]).unwrap()];
    // Enough work before it that it must wait.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let g = graph.clone();
                async move { g.run(image(256), None).await }
            })
        })
        .collect();
    tokio::select! {
        biased;
        // On a busy machine it may be answered between its submission and the look for the answer.
        answer = graph.run(image(100), None) => assert!(answer.is_ok()),
        () = std::future::ready(()) => {}
    }
    let late = graph.run(image(1), Some(Instant::now())).await;
    assert_eq!(late, Err(EngineError::DeadlineExceeded));
    for task in busy {
        assert_eq!(task.await.unwrap().unwrap()[0].shape(), [256, 1, 12, 12]);
    }
    until("the queue is empty", || graph.stats().queued == 0 && graph.stats().running == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_what_it_can_and_refuses_the_new() {
    let engine = engine(Config { slots: 1, stream_buffer: 1, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap().clone();
    // One that nobody reads from never ends by itself.
    let mut stuck = decoder.stream(Writer::new(1, 1000), None).unwrap();
    until("the slot is taken", || decoder.stats().slots_used == 1).await;
    let mlp = engine.model("mlp", 0, &[]).unwrap();
    let running = tokio::spawn({
        let mlp = mlp.clone();
        async move { mlp.run("mlp", vec![noise(1, 200)], None).await }
    });
    until("the request is there", || {
        let s = mlp.graph("mlp").unwrap().stats();
        s.queued > 0 || s.answered > 0
    })
    .await;
    let start = Instant::now();
    engine.shutdown(Duration::from_millis(200)).await;
    assert!(start.elapsed() >= Duration::from_millis(200), "the stuck stream was given its time");
    assert!(running.await.unwrap().is_ok());
    let mut last = stuck.next().await;
    while let Some(Ok(_)) = last {
        last = stuck.next().await;
    }
    assert_eq!(last, Some(Err(EngineError::Draining)));
    assert_eq!(mlp.run("mlp", vec![noise(1, 1)], None).await, Err(EngineError::Draining));
    assert_eq!(decoder.stream(Writer::new(1, 1), None).map(|_| ()).unwrap_err(), EngineError::Draining);
    assert_eq!(engine.health(), Health::Draining);
    assert_eq!((decoder.stats().slots_used, decoder.stats().waiting), (0, 0));
    engine.shutdown(Duration::ZERO).await;
}

#[test]
fn a_package_that_lies_is_set_aside_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let copy = |from: &str, to: &str, change: &dyn Fn(String) -> String| {
        let target = dir.path().join(to).join("1");
        std::fs::create_dir_all(&target).unwrap();
        for entry in models.join(from).join("1").read_dir().unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
        let path = target.join("package.toml");
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace(&format!("\"{from}\"\nversion"), &format!("\"{to}\"\nversion"));
        std::fs::write(path, change(text)).unwrap();
    };
    copy("mlp", "good", &|t| t);
    // The golden tensors fit the package, but not the graph, which leaves nothing open.
    copy("conv", "renamed", &|t| t);
    let repository = Repository::scan(dir.path()).unwrap();
    let mut wrong = repository.get(&"renamed".parse().unwrap(), None).unwrap().manifest().clone();
    wrong.graphs[0].inputs[0].name = "picture".into();
    let mut golden = repository.get(&"renamed".parse().unwrap(), None).unwrap().golden().clone();
    let case = golden.cases.get_mut("conv").unwrap();
    let image = case.inputs.remove("image").unwrap();
    case.inputs.insert("picture".into(), image);
    let onnx = std::fs::read(models.join("conv/1/conv.onnx")).unwrap();
    let writer =
        |manifest: &atelier_package::Manifest, golden: &atelier_package::Golden, onnx: &[u8], dir: &Path| {
            atelier_package::PackageWriter::new(manifest.clone(), golden.clone())
                .graph("conv", onnx.to_vec())
                .write(dir, atelier_package::Existing::Replace)
                .unwrap()
        };
    let renamed = writer(&wrong, &golden, &onnx, &dir.path().join("renamed/1"));
    let honest = Repository::scan(&models).unwrap();
    let conv = honest.get(&"conv".parse().unwrap(), None).unwrap();
    // Outputs that the graph does not give.
    let mut golden = conv.golden().clone();
    let out = golden.cases.get_mut("conv").unwrap().outputs.get_mut("image_out").unwrap();
    let mut values = out.as_f32().unwrap().to_vec();
    values[7] += 0.01;
    *out = Tensor::f32(out.shape(), values).unwrap();
    let false_golden = writer(conv.manifest(), &golden, &onnx, &dir.path().join("conv/1"));
    // No ONNX at all, with the right hash.
    let foreign = writer(conv.manifest(), conv.golden(), b"MZ this is no graph", &dir.path().join("conv/2"));
    let good = Repository::scan(dir.path()).unwrap().get(&"good".parse().unwrap(), None).unwrap().clone();
    let engine = Engine::load(&Config::default(), &[renamed, good, false_golden, foreign]).unwrap();
    assert_eq!(engine.models().len(), 1);
    let errors: Vec<String> = engine.not_loaded().iter().map(|n| n.error.to_string()).collect();
    assert_eq!(errors[0], "conv.onnx: inputs: the graph has `image`, which package.toml does not have");
    assert!(
        errors[1].starts_with("golden check of graph `conv`: output `image_out`: element 7 is "),
        "{}",
        errors[1]
    );
    assert!(errors[2].starts_with("conv.onnx: ") && errors[2].contains("protobuf"), "{}", errors[2]);
}

#[test]
fn cuda_that_cannot_be_had_is_an_error_and_never_a_run_on_the_processor() {
    let config = Config { device: Device::Cuda(0), batching: Batching::Fast, ..Config::default() };
    let engine = Engine::load(&config, &packages()).unwrap();
    // On a machine with the GPU build of the runtime this serves; elsewhere it must say why it does not.
    for failed in engine.not_loaded() {
        let text = failed.error.to_string();
        assert!(text.contains("cuda:0 was asked for and cannot be had"), "{text}");
    }
    assert!(engine.models().iter().all(|m| m.device() == Device::Cuda(0)));
}

#[test]
fn a_missing_runtime_is_one_clear_line() {
    let config = Config { runtime: Some("/nowhere/libonnxruntime.so".into()), ..Config::default() };
    let e = Engine::load(&config, &[]).unwrap_err().to_string();
    assert!(e.contains("/nowhere/libonnxruntime.so") && !e.contains('\n'), "{e}");
}

#[test]
fn a_config_that_cannot_work_is_refused_by_name() {
    let e = |config: Config| Engine::load(&config, &[]).unwrap_err().to_string();
    assert_eq!(e(Config { slots: 0, ..Config::default() }), "slots: is 0, but 1 to 4096 is right");
    assert_eq!(e(Config { queue_rows: 0, ..Config::default() }), "queue_rows: is 0, but at least 1 is right");
}
