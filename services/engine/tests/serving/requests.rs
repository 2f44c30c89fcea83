//! Requests on stateless graphs.

use std::sync::Mutex;
use std::time::Instant;

use atelier_engine::{Config, EngineError, Health, Priority, Tensor, Terms};

use crate::support::{bits, engine, noise, until};

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
    // A worker may be as fast as they come, and then nobody waits for it: again, until some have met in a batch.
    let mut batched = false;
    for _ in 0..500 {
        let before = graph.stats();
        let together = (0..60).map(|seed| graph.run(vec![noise(seed, 1)], None));
        for (seed, outputs) in futures_util::future::join_all(together).await.into_iter().enumerate() {
            assert_eq!(bits(&outputs.unwrap()), bits(&alone[seed]), "seed {seed}");
        }
        let after = graph.stats();
        assert_eq!(after.rows - before.rows, 60);
        batched = after.batches - before.batches < 60;
        if batched {
            break;
        }
    }
    assert!(batched, "nobody was ever batched: {:?}", graph.stats());
    // More rows than a batch holds come back in order.
    let rows: Vec<f32> = (0..60).flat_map(|s| noise(s, 1).into_f32().unwrap()).collect();
    let many = graph.run(vec![Tensor::f32([60, 24], rows).unwrap()], None).await.unwrap();
    let alone: Vec<u8> = alone.iter().flat_map(|o| bits(o)).collect();
    assert_eq!(bits(&many), alone);
    assert_eq!((graph.stats().queued, graph.stats().running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_in_the_runtime_does_not_take_the_model_down() {
    let engine = engine(Config::default());
    let model = engine.model("lookup", 0, &[]).unwrap();
    let graph = model.graph("lookup").unwrap();
    let good = || vec![Tensor::i64([2], vec![1, 2]).unwrap()];
    let expected = graph.run(good(), None).await.unwrap();
    for _ in 0..10 {
        let bad = graph.run(vec![Tensor::i64([1], vec![99]).unwrap()], None).await.unwrap_err();
        assert!(matches!(bad, EngineError::Runtime(_)), "{bad:?}");
        assert_eq!(graph.health(), Health::Ready, "whoever asks for it takes nothing from the others");
    }
    assert_eq!(graph.run(good(), None).await.unwrap(), expected);
    assert_eq!(graph.stats().failed, 10);
    assert_eq!((graph.stats().queued, graph.stats().running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_high_priority_overtakes_those_that_wait() {
    let engine = engine(Config { parallelism: Some(1), ..Config::default() });
    let model = engine.model("conv", 0, &[]).unwrap();
    let graph = model.graph("conv").unwrap();
    let answered = Mutex::new(Vec::new());
    let ask = |which: usize, priority: Priority| {
        let answered = &answered;
        async move {
            let image = Tensor::f32([128, 1, 12, 12], vec![0.5; 128 * 144]).unwrap();
            graph.run_on(vec![image], Terms { priority, ..Terms::default() }).await.unwrap();
            answered.lock().unwrap().push(which);
        }
    };
    // The worker may be as fast as they come, and then nobody waits: again, until one had to.
    for _ in 0..500 {
        let normal = (0..3).map(|which| ask(which, Priority::Normal));
        futures_util::future::join_all(normal.chain([ask(3, Priority::High)])).await;
        let order = std::mem::take(&mut *answered.lock().unwrap());
        assert_eq!(order.len(), 4);
        let place = |which| order.iter().position(|other| *other == which);
        if place(3) < place(2) {
            return;
        }
    }
    panic!("nobody was overtaken");
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

/// What is shown to operators must add up.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_one_outcome_and_every_batch_its_times() {
    let engine = engine(Config { queue_requests: 40, ..Config::default() });
    let model = engine.model("mlp", 0, &[]).unwrap();
    let graph = model.graph("mlp").unwrap();
    let together = (0..60).map(|seed| graph.run(vec![noise(seed, 1)], None));
    let answers = futures_util::future::join_all(together).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    let late = graph.run(vec![noise(0, 1)], Some(Instant::now())).await;
    assert_eq!(late, Err(EngineError::DeadlineExceeded));
    until("the queue is empty", || graph.stats().queued == 0 && graph.stats().running == 0).await;

    let [activity] = &model.activity()[..] else { panic!("one graph") };
    let outcomes = activity.outcomes;
    assert_eq!((activity.graph.as_str(), activity.slots), ("mlp", None));
    assert_eq!(outcomes.answered, answered);
    // The one that was late; of the others as many as found the queue full, which is a matter of who is faster.
    assert!(outcomes.refused + outcomes.expired >= 1, "{outcomes:?}");
    assert_eq!(outcomes.refused + outcomes.expired, 61 - answered);
    assert_eq!((outcomes.failed, outcomes.cancelled), (0, 0));
    let (work, times) = (activity.work, &activity.times);
    assert_eq!(work.rows, answered);
    assert_eq!(times.queue.count(), answered);
    assert_eq!((times.compute.count(), times.rows.count()), (work.batches, work.batches));
    assert!((times.rows.sum - answered as f64).abs() < 1e-9);
    assert!(times.compute.sum > 0.0 && times.queue.sum > 0.0);
    assert_eq!((activity.line.waiting, activity.line.oldest), (0, None));
    assert_eq!(activity.workers.healthy, activity.workers.total);
}
