//! Streams through a step graph.

use std::time::{Duration, Instant};

use atelier_engine::{Config, Cursor, Engine, EngineError, Health, Step, Tensor};

use crate::support::{Writer, engine, packages, until, write};

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
async fn a_stream_has_the_same_bits_by_a_session_whose_threads_divide_a_step_and_by_one_of_several() {
    let rnn = packages().into_iter().find(|p| p.name().as_str() == "rnn").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rnn = atelier_package::PackageWriter::new(rnn.manifest().clone(), rnn.golden().clone())
        .graph("step", rnn.graph_bytes("step").unwrap())
        .write(&dir.path().join("1"), atelier_package::Existing::Refuse)
        .unwrap();
    let load = |parallelism| {
        let config = Config { slots: 8, parallelism: Some(parallelism), ..Config::default() };
        Engine::load(&config, std::slice::from_ref(&rnn)).unwrap()
    };
    let plain = load(1);
    let mut expected = Vec::new();
    for seed in 0..8 {
        expected.push(write(&plain, seed, 60).await);
    }
    // Which way is better is a matter of the machine: here it is told.
    let mut told = load(2).calibration(rnn.name(), rnn.version()).unwrap();
    let graph = &mut told.graphs[0];
    (graph.workers, graph.threads, graph.few) = (2, 1, Some(2));
    graph.sizes.retain(|size| *size <= 4);
    graph.seconds.truncate(graph.sizes.len());
    told.write(&rnn).unwrap();
    let both = load(2);
    let plan = both.plan().graphs.remove(0);
    assert_eq!((plan.workers, plan.threads, plan.few), (2, 1, 2));
    assert_eq!(write(&both, 0, 60).await, expected[0], "alone");
    let together: Vec<_> = (0..8)
        .map(|seed| {
            let both = both.clone();
            tokio::spawn(async move { write(&both, seed, 60).await })
        })
        .collect();
    for (stream, expected) in together.into_iter().zip(&expected) {
        assert_eq!(&stream.await.unwrap(), expected);
    }
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
            Step::Restart { .. } => panic!("a writer does not restart"),
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

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_beyond_the_deadline_is_seen_by_the_watchdog_where_nobody_asks() {
    let engine = engine(Config { slots: 1, stream_buffer: 1, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let _parked = decoder.stream(Writer::new(1, 1000), None).unwrap();
    until("the slot is taken", || decoder.stats().slots_used == 1).await;
    let soon = Instant::now() + Duration::from_millis(200);
    let _late = decoder.stream(Writer::new(2, 3), Some(soon)).unwrap();
    assert_eq!(decoder.stats().waiting, 1);
    until("the line is empty", || decoder.stats().waiting == 0).await;
    assert_eq!((decoder.stats().expired, decoder.stats().slots_used), (1, 1));
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
