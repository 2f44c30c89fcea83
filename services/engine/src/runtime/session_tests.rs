use std::path::Path;

use atelier_package::{GoldenCase, Package, Repository, StatePair};

use super::*;

/// A session over a stateless graph of the tests, with its golden inputs.
fn session() -> (GraphSession, Vec<Tensor>) {
    replaying(false)
}

/// On the processor, which records nothing: all but that is as on a GPU.
fn replaying(replays: bool) -> (GraphSession, Vec<Tensor>) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    let package = repository.latest().find(|p| p.manifest().graphs.iter().any(|g| !g.is_step())).unwrap();
    let spec = Arc::new(package.manifest().graphs.iter().find(|g| !g.is_step()).unwrap().clone());
    let onnx = package.graph_bytes(&spec.name).unwrap();
    let runtime = Runtime::load(None).unwrap();
    let mut session = {
        let replays = Arc::new(AtomicBool::new(replays));
        GraphSession::new(runtime, &onnx, Arc::clone(&spec), Device::Cpu, 1, &replays).unwrap()
    };
    assert_eq!(session.record(), replays);
    let case = &package.golden().cases[&spec.name];
    (session, spec.inputs.iter().map(|s| case.inputs[&s.name].clone()).collect())
}

fn put(frame: &mut Frame, inputs: &[Tensor]) {
    for (input, tensor) in inputs.iter().enumerate() {
        frame.put(input, 0, tensor, 0..tensor.shape()[0]).unwrap();
    }
}

#[test]
fn a_frame_gives_the_bits_of_tensors_and_what_is_put_into_it_next_counts() {
    gives_the_bits_of_tensors(session());
}

#[test]
fn so_does_a_frame_whose_runs_are_replayed() {
    gives_the_bits_of_tensors(replaying(true));
}

fn gives_the_bits_of_tensors((mut session, inputs): (GraphSession, Vec<Tensor>)) {
    let spec = Arc::clone(&session.spec);
    let rows = inputs[0].shape()[0];
    let mut frame = session.frame(&spec, rows).unwrap();
    assert_eq!(frame.replayed.is_some(), session.replays.load(Ordering::Acquire));
    let zeros: Vec<Tensor> = frame.inputs().unwrap();
    assert_ne!(inputs, zeros, "what a frame begins with");
    for inputs in [&inputs, &zeros, &inputs] {
        put(&mut frame, inputs);
        session.run_frame(&mut frame).unwrap();
        assert_eq!(frame.take(0..rows).unwrap(), session.run(inputs).unwrap());
    }
}

#[test]
fn states_that_are_carried_over_give_the_bits_of_states_that_are_copied() {
    carries_states(false);
}

#[test]
fn so_do_those_that_stay_where_they_are_because_their_runs_are_replayed() {
    carries_states(true);
}

fn carries_states(replays: bool) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    let graphs = |p: &Package| p.manifest().graphs.iter().find(|g| !g.state.is_empty()).cloned();
    let (package, spec) = repository.latest().find_map(|p| Some((p, Arc::new(graphs(p)?)))).unwrap();
    let onnx = package.graph_bytes(&spec.name).unwrap();
    let runtime = Runtime::load(None).unwrap();
    let replays = Arc::new(AtomicBool::new(replays));
    let mut session = GraphSession::new(runtime, &onnx, Arc::clone(&spec), Device::Cpu, 1, &replays).unwrap();
    let recorded = session.record();
    let mut frame = session.frame(&spec, 2).unwrap();
    assert_eq!(frame.replayed.is_some(), recorded);
    let mut inputs = frame.inputs().unwrap();
    let ends = |pair: &StatePair| {
        let input = spec.inputs.iter().position(|s| s.name == pair.input);
        Some((input?, spec.outputs.iter().position(|s| s.name == pair.output)?))
    };
    let pairs: Vec<_> = spec.state.iter().map(|pair| ends(pair).unwrap()).collect();
    let mut last = Vec::new();
    for step in 0..4 {
        let outputs = session.run(&inputs).unwrap();
        session.run_frame(&mut frame).unwrap();
        for (i, output) in outputs.iter().enumerate() {
            assert_eq!(frame.output::<f32>(i).unwrap(), output.as_f32().unwrap(), "step {step}, output {i}");
        }
        assert_ne!(outputs, last, "every step changes what is remembered");
        frame.carry(&spec, pairs.iter().copied()).unwrap();
        pairs.iter().for_each(|(input, output)| inputs[*input] = outputs[*output].clone());
        last = outputs;
    }
}

#[test]
fn where_a_run_cannot_be_recorded_frames_are_as_without() {
    let (mut session, inputs) = replaying(true);
    let spec = Arc::clone(&session.spec);
    let rows = inputs[0].shape()[0];
    // No run goes through, as in a graph that cannot be recorded.
    session.stop.stop();
    let mut frame = session.frame(&spec, rows).unwrap();
    assert!(frame.replayed.is_none() && !session.replays.load(Ordering::Acquire));
    assert!(session.stop.reset());
    put(&mut frame, &inputs);
    session.run_frame(&mut frame).unwrap();
    assert_eq!(frame.take(0..rows).unwrap(), session.run(&inputs).unwrap());
    assert!(session.frame(&spec, rows).unwrap().replayed.is_none(), "it is tried once");
}

#[test]
fn a_frame_that_is_bound_to_no_session_is_not_run() {
    let (mut session, _) = session();
    let mut plain = Frame::plain(&session.spec, 1).unwrap();
    assert!(session.run_frame(&mut plain).is_err());
}

#[test]
fn a_stopped_run_ends_in_an_error_and_after_a_reset_the_session_runs_again() {
    is_stopped_and_runs_again(session());
    is_stopped_and_runs_again(replaying(true));
}

fn is_stopped_and_runs_again((mut session, inputs): (GraphSession, Vec<Tensor>)) {
    let before = session.run(&inputs).unwrap();
    let spec = Arc::clone(&session.spec);
    let mut frame = session.frame(&spec, inputs[0].shape()[0]).unwrap();
    put(&mut frame, &inputs);
    let stop = session.stop().unwrap();
    assert!(!stop.reset(), "nobody stopped it");
    stop.stop();
    for error in [session.run(&inputs).unwrap_err(), session.run_frame(&mut frame).unwrap_err()] {
        assert!(matches!(&error, EngineError::Runtime(why) if why.contains("terminate")), "{error}");
    }
    assert!(stop.reset());
    assert_eq!(session.run(&inputs).unwrap(), before);
    session.run_frame(&mut frame).unwrap();
    assert_eq!(frame.take(0..inputs[0].shape()[0]).unwrap(), before);
}

#[test]
fn a_session_is_warmed_up_with_its_samples_in_a_frame_and_as_they_are() {
    let (mut session, inputs) = session();
    let spec = Arc::clone(&session.spec);
    let mut frame = session.frame(&spec, 3).unwrap();
    let before = frame.take(0..3).unwrap();
    session.warm(Some(&mut frame)).unwrap();
    assert_eq!(frame.take(0..3).unwrap(), before, "it has none");
    let named = spec.inputs.iter().map(|input| input.name.clone()).zip(inputs.iter().cloned()).collect();
    let case = GoldenCase { inputs: named, ..GoldenCase::default() };
    let samples = Arc::new(Samples::new(&spec, &case).unwrap());
    assert_eq!(samples.whole(), inputs);
    let mut session = session.with_samples(Arc::clone(&samples));
    session.warm(Some(&mut frame)).unwrap();
    assert_eq!(frame.take(0..3).unwrap(), session.run(&samples.batch(0, 3).unwrap()).unwrap());
    session.warm(None).unwrap();
    assert!(session.survives(), "an error on the processor is over with its run");
}

#[test]
fn a_gpu_is_used_as_was_found_best_whichever_it_is_and_recorded_only_where_that_is_asked_for() {
    let options = |id, replayed| cuda_options(id, replayed).map(|(key, value)| format!("{key}={value}"));
    assert_eq!(
        options(3, false),
        [
            "device_id=3",
            "cudnn_conv_algo_search=HEURISTIC",
            "arena_extend_strategy=kSameAsRequested",
            "use_tf32=0",
            "enable_cuda_graph=0",
        ]
    );
    assert_eq!(options(0, true)[4], "enable_cuda_graph=1");
}
