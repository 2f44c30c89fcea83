//! What a package of speech must say: its voices, its delay lines, its condition.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::path::Path;

use atelier_package::{Audio, DelayLines, Dtype, GraphSpec, Kind, Manifest, Speaker, TensorSpec, Version};

fn speaker(name: &str) -> Speaker {
    Speaker { name: name.into(), gain: 1.5, durations: vec![vec![900, 1000, 1300], vec![800, 800]] }
}

/// Two layers with two taps of 4 numbers, for two digits and two speakers.
fn good() -> Manifest {
    let batch = |name: &str, dims: &[usize]| {
        let dims = dims.iter().map(|n| (*n).into());
        TensorSpec::new(name, Dtype::F32, std::iter::once("batch".into()).chain(dims))
    };
    let token = TensorSpec::new("token", Dtype::I64, ["batch".into()]).with_range(0.0, 255.0);
    let step = GraphSpec {
        name: "step".into(),
        file: "step.onnx".into(),
        sha256: "0".repeat(64),
        inputs: vec![token, batch("taps", &[2, 2, 4]), batch("condition", &[7])],
        outputs: vec![batch("logits", &[256]), batch("pushed", &[2, 4])],
        delays: vec![DelayLines { input: "taps".into(), output: "pushed".into(), delays: vec![1, 3] }],
        ..GraphSpec::default()
    };
    let audio = Audio {
        sample_rate: 8000,
        levels: 256,
        digits: vec!['0', '7'],
        speakers: vec![speaker("george"), speaker("jackson")],
    };
    Manifest {
        name: "digits".parse().unwrap(),
        version: Version::new(1).unwrap(),
        kind: Kind::Wavenet,
        summary: "Speaks digits".into(),
        licence: "MIT".into(),
        data: "none".into(),
        limits: None,
        graphs: vec![step],
        vocabulary: None,
        labels: None,
        novelty: None,
        audio: Some(audio),
        segmentation: None,
        telemetry: None,
        training: None,
        metrics: toml::Table::new(),
    }
}

#[test]
fn a_package_of_speech_is_written_and_read_back() {
    let good = good();
    let text = good.to_toml().unwrap();
    assert_eq!(Manifest::parse(&text, Path::new("package.toml")).unwrap(), good);
    let graph = &good.graphs[0];
    assert!(graph.is_step());
    assert_eq!(graph.delays[0].taps_and_width(graph), Some((2, 4)));
    let audio = good.audio.unwrap();
    assert_eq!((audio.digit('7'), audio.digit('1')), (Some(1), None));
    assert_eq!((audio.speaker("jackson"), audio.speaker("bob")), (Some(1), None));
}

type Spoil = fn(&mut Manifest);

fn check(cases: &[(Spoil, &str)]) {
    good().validate().unwrap();
    for (spoil, expected) in cases {
        let mut spoilt = good();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), *expected);
    }
}

#[test]
fn delay_lines_must_fit_their_graph() {
    check(&[
        (
            |m| m.graphs[0].delays[0].input = "tapes".into(),
            "graph.step.delay.tapes: must pair an input with an output; `tapes` and `pushed` are not both there",
        ),
        (
            |m| m.graphs[0].delays[0].delays.push(9),
            "graph.step.delay.taps: `taps` is f32 [batch, 2, 2, 4], but f32 [batch, 3, taps, width] is right for \
             3 delays",
        ),
        (
            |m| m.graphs[0].outputs[1].shape[2] = 5.into(),
            "graph.step.delay.taps: `pushed` is f32 [batch, 2, 5], but f32 [batch, 2, 4] is right",
        ),
        (
            |m| m.graphs[0].delays[0].delays[1] = 0,
            "graph.step.delay.taps: delays: there is a 0, but 1 step or more is right",
        ),
        (
            |m| m.graphs[0].delays[0].delays[1] = 1 << 20,
            "graph.step.delay.taps: delays: are so long that a stream would have more than 4194304 numbers",
        ),
        (
            |m| m.graphs[0].delays[0].delays[1] = usize::MAX,
            "graph.step.delay.taps: delays: are so long that a stream would have more than 4194304 numbers",
        ),
        (
            |m| {
                let twice = m.graphs[0].delays[0].clone();
                m.graphs[0].delays.push(twice);
            },
            "graph.step.delay.taps: an input or output belongs to two states or delay lines",
        ),
    ]);
}

#[test]
fn the_step_graph_of_speech_takes_just_what_a_service_gives() {
    check(&[
        (|m| m.audio = None, "audio: a package of kind wavenet must say what it speaks, and in whose voice"),
        (
            |m| m.graphs[0].outputs[0].shape[1] = 255.into(),
            "graph.step.outputs.logits: must be f32 [batch, 256], one for each of audio.levels",
        ),
        (|m| m.graphs[0].inputs[0].dtype = Dtype::F32, "graph.step.inputs.token: must be i64 [batch]"),
        (
            |m| m.graphs[0].inputs[2].shape[1] = 4.into(),
            "graph.step.inputs.condition: must be f32 [batch, K]: 2 for the digit, 2 for the speaker, and 1 or \
             more for how far it is",
        ),
        (
            |m| m.graphs[0].delays.clear(),
            "graph.step.inputs.taps: is none of token, condition, states and delays: nobody would give it",
        ),
        (
            |m| {
                m.graphs[0].delays.clear();
                m.graphs[0].inputs.remove(1);
            },
            "graph.step.delay: there must be delay lines, or the model would forget each sample",
        ),
        (
            |m| drop(m.graphs[0].inputs.pop()),
            "graph.step.inputs: a package of kind wavenet must have `condition` here; there are: token, taps",
        ),
        (|m| m.kind = Kind::Onnx, "audio: a package of kind onnx has none"),
    ]);
}

/// The same with a graph that plans.
fn planning() -> Manifest {
    let rows = |name: &str, dims: &[usize]| {
        let dims = dims.iter().map(|n| (*n).into());
        TensorSpec::new(name, Dtype::F32, std::iter::once("batch".into()).chain(dims))
    };
    let planner = GraphSpec {
        name: "planner".into(),
        file: "planner.onnx".into(),
        sha256: "0".repeat(64),
        inputs: vec![rows("word", &[5]), rows("noise", &[3])],
        outputs: vec![rows("plan", &[4, 8])],
        ..GraphSpec::default()
    };
    let mut manifest = good();
    manifest.graphs.push(planner);
    manifest
}

#[test]
fn a_planner_takes_a_word_and_noise_and_gives_moments_of_bands() {
    planning().validate().unwrap();
    let word =
        "graph.planner.inputs.word: must be f32 [batch, 5]: one for each digit and speaker, and the duration";
    let plan = "graph.planner.outputs.plan: must be there, f32 [batch, moments, bands]";
    let cases: [(Spoil, &str); 8] = [
        (|m| m.graphs[1].inputs[0].shape[1] = 4.into(), word),
        (|m| m.graphs[1].inputs[0].dtype = Dtype::I64, word),
        (
            |m| m.graphs[1].inputs[1].shape[1] = "n".into(),
            "graph.planner.inputs.noise: must be f32 [batch, N]",
        ),
        (|m| drop(m.graphs[1].inputs.pop()), "graph.planner.inputs: there must be one named noise"),
        (|m| drop(m.graphs[1].inputs.remove(0)), "graph.planner.inputs: there must be one named word"),
        (
            |m| {
                let mut other = m.graphs[1].inputs[1].clone();
                other.name = "mood".into();
                m.graphs[1].inputs.push(other);
            },
            "graph.planner.inputs.mood: is neither word nor noise: nobody would give it",
        ),
        (|m| drop(m.graphs[1].outputs[0].shape.pop()), plan),
        (|m| m.graphs[1].outputs[0].name = "plans".into(), plan),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = planning();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn voices_and_levels_must_be_possible_ones() {
    check(&[
        (
            |m| m.audio.as_mut().unwrap().sample_rate = 800,
            "audio.sample_rate: is 800, but 4000 to 192000 is right",
        ),
        (
            |m| m.audio.as_mut().unwrap().levels = 255,
            "audio.levels: is 255, but an even number, 16 to 65536, is right",
        ),
        (|m| m.audio.as_mut().unwrap().digits[1] = '0', "audio.digits: '0' is no digit, or is there twice"),
        (|m| m.audio.as_mut().unwrap().digits[1] = 'x', "audio.digits: 'x' is no digit, or is there twice"),
        (|m| m.audio.as_mut().unwrap().digits.clear(), "audio.digits: there must be 1 to 10"),
        (|m| m.audio.as_mut().unwrap().speakers.clear(), "audio.speaker: there must be 1 to 4096"),
        (
            |m| m.audio.as_mut().unwrap().speakers[1].name = "george".into(),
            "audio.speaker.name: `george` is there twice",
        ),
        (
            |m| m.audio.as_mut().unwrap().speakers[0].name = "George W.".into(),
            "audio.speaker.name: `George W.` is no name: 1 to 64 of a-z, 0-9, '-' and '_' are",
        ),
        (
            |m| m.audio.as_mut().unwrap().speakers[0].gain = 0.0,
            "audio.speaker.george.gain: is 0, but a number over 0 is right",
        ),
        (
            |m| m.audio.as_mut().unwrap().speakers[1].gain = f64::NAN,
            "audio.speaker.jackson.gain: is NaN, but a number over 0 is right",
        ),
        (
            |m| drop(m.audio.as_mut().unwrap().speakers[0].durations.pop()),
            "audio.speaker.george.durations: are for 1 digits, but there are 2 in audio.digits",
        ),
    ]);
    for bad in [vec![900], vec![], vec![900, 800], vec![0, 5], vec![5, 80_001]] {
        let mut spoilt = good();
        spoilt.audio.as_mut().unwrap().speakers[0].durations[1] = bad;
        assert_eq!(
            spoilt.validate().unwrap_err().to_string(),
            "audio.speaker.george.durations: those of 7 must be 2 to 1001 numbers of samples, 1 to 80000 each \
             (that is 10 s), the lesser first"
        );
    }
}
