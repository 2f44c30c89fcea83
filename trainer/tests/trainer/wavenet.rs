//! The WaveNet: its two forms, what it looks at, and the graph that is made of it; and what plans its words.

use atelier_trainer::evaluate::wavenet::voice::Voice as Spoken;
use atelier_trainer::graphs::Exportable;
use atelier_trainer::nets::speech_planner::{SIDE, SpeechPlannerConfig};
use atelier_trainer::nets::voice::Voice;
use atelier_trainer::nets::wavenet::{Wavenet, WavenetConfig};
use atelier_trainer::onnx::proto::ModelProto;
use atelier_trainer::ops::eager::{Precision, to_vec};
use atelier_trainer::store::Store;
use atelier_trainer::streams::{self, Conventions, OnRuntime, OnTorch, Step, Utterance};
use atelier_transforms::speech::{Condition, FRAME, Plan, Said};
use prost::Message;
use tch::{Device, Kind, Tensor};

use crate::card::shipped;
use crate::support::runtime;

/// What every stream begins after.
const SILENCE: i64 = 8;
const CONDITION: fn() -> Condition = || Condition::new(10, 2, 8000);
/// Bands of plans.
const BANDS: usize = 2;

const SMALL: WavenetConfig =
    WavenetConfig { levels: 16, width: 6, skip: 10, cycle: 3, cycles: 2, condition: 9 };

fn small() -> (Store, Wavenet) {
    let mut store = Store::new(7, Device::Cpu);
    let network = Wavenet::new(&mut store, &SMALL, CONDITION().width() + BANDS);
    (store, network)
}

/// Tokens of utterances of different lengths, `[time, utterances]`, what is said, and the conditions.
fn speech() -> (Vec<i64>, Vec<Utterance>, Tensor, Tensor) {
    let frames = 3;
    let totals = [frames * FRAME, 2 * FRAME + 7];
    let utterance = |i: usize| Utterance {
        said: Said { digit: 3 + i, speaker: i },
        total: totals[i],
        plan: Plan::new(BANDS, (0..5 * BANDS).map(|k| (i + k) as f32 / 3.0 - 1.0).collect()),
    };
    let utterances: Vec<Utterance> = (0..2).map(utterance).collect();
    let token = |i: usize| if i < 2 { SILENCE } else { ((i * i + 5 * i) % 16) as i64 };
    let tokens: Vec<i64> = (0..2 * frames * FRAME).map(token).collect();
    let rows = |frame: usize| utterances.iter().flat_map(move |u| u.row(&CONDITION(), frame * FRAME));
    let condition: Vec<f32> = (0..frames).flat_map(rows).collect();
    let inputs = Tensor::from_slice(&tokens).reshape([(frames * FRAME) as i64, 2]);
    let condition = Tensor::from_slice(&condition).reshape([frames as i64, 2, -1]);
    (tokens, utterances, inputs, condition)
}

fn largest_difference(graph: &mut dyn Step, network: &Wavenet) -> f32 {
    let (tokens, utterances, inputs, condition) = speech();
    let logits = to_vec(&tch::no_grad(|| network.sequence(&inputs, &condition, Precision::F32)));
    let delays = network.config().delays();
    let conventions = Conventions { condition: CONDITION(), delays: &delays, width: 6, silence: SILENCE };
    let mut largest = 0f32;
    streams::run(graph, &conventions, &utterances, &mut |which, at, row| {
        let expected = &logits[(at * 2 + which) * 16..][..16];
        for (a, b) in row.iter().zip(expected) {
            largest = largest.max((a - b).abs());
        }
        tokens.get((at + 1) * 2 + which).copied().unwrap_or(0)
    })
    .unwrap();
    largest
}

#[test]
fn a_recording_is_its_samples_one_after_the_other() {
    let (_store, network) = small();
    let difference = largest_difference(&mut OnTorch(&network), &network);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn the_exported_step_graph_says_the_same_sample_for_sample() {
    let (_store, network) = small();
    let plan = &network.plans()[0];
    let exported = network.export(plan);
    let session = runtime().graph(&exported.onnx, &exported.inputs, &exported.outputs).unwrap();
    let delays = Exportable::delays(&network, "step").remove(0);
    assert_eq!((delays.input.as_str(), delays.output.as_str()), ("taps", "pushed"));
    assert_eq!(delays.delays, [1, 3, 9, 1, 3, 9]);
    let mut graph = OnRuntime { session, delays: delays.delays, width: 6 };
    let difference = largest_difference(&mut graph, &network);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn a_sample_changes_what_follows_within_reach_and_nothing_else() {
    let (_store, network) = small();
    let (_, _, inputs, condition) = speech();
    let changed = inputs.copy();
    let _ = changed.get(100).get(0).fill_(9);
    let run = |tokens: &Tensor| tch::no_grad(|| network.sequence(tokens, &condition, Precision::F32));
    let differs = (run(&inputs) - run(&changed)).abs().amax([2i64].as_slice(), false);
    let reach = network.config().receptive_field() as i64;
    assert_eq!(reach, 1 + 2 * 2 * (1 + 3 + 9));
    for t in 0..inputs.size()[0] {
        let (own, other) = (differs.double_value(&[t, 0]), differs.double_value(&[t, 1]));
        assert_eq!(other, 0.0, "another recording, at {t}");
        let within = (100..100 + reach).contains(&t);
        // The first and the last that it reaches; between them the network may happen not to mind.
        assert!(within || own == 0.0, "at {t}: {own}");
        assert!(![100, 100 + reach - 1].contains(&t) || own > 0.0, "at {t}");
    }
}

#[test]
fn bfloat16_is_near_single_precision() {
    let (_store, network) = small();
    let (_, _, inputs, condition) = speech();
    let run = |precision| tch::no_grad(|| network.sequence(&inputs, &condition, precision));
    let (exact, rough) = (run(Precision::F32), run(Precision::Bf16));
    assert_eq!(rough.kind(), Kind::Float);
    let error = (&exact - rough).square().mean(Kind::Double).double_value(&[]);
    let size = exact.square().mean(Kind::Double).double_value(&[]);
    assert!(error < 1e-3 * size && error > 0.0, "{error} {size}");
}

#[test]
fn a_layer_is_six_nodes_of_the_step_graph() {
    let (_store, network) = small();
    let plan = &network.plans()[0];
    let graph = ModelProto::decode(network.export(plan).onnx.as_slice()).unwrap().graph.unwrap();
    // Two of them go away when ONNX Runtime joins products with their nonlinearities.
    let layers = network.config().delays().len();
    assert!(graph.node.len() <= 6 * layers + 24, "{} nodes for {layers} layers", graph.node.len());
}

#[test]
fn what_is_said_is_heard() {
    let (_store, network) = small();
    let (_, _, inputs, condition) = speech();
    let other = condition.roll([1], [2]);
    let run = |condition: &Tensor| tch::no_grad(|| network.sequence(&inputs, condition, Precision::F32));
    let differs = (run(&condition) - run(&other)).abs().max().double_value(&[]);
    assert!(differs > 1e-3, "{differs}");
}

#[test]
fn what_is_planned_for_a_frame_is_heard_from_there_on() {
    // Enough units that some of them are not silent.
    let config = WavenetConfig { condition: 48, ..SMALL };
    let mut store = Store::new(7, Device::Cpu);
    let network = Wavenet::new(&mut store, &config, CONDITION().width() + BANDS);
    let (_, _, inputs, condition) = speech();
    let changed = condition.copy();
    let _ = changed.get(1).get(0).narrow(0, CONDITION().width() as i64, BANDS as i64).fill_(-3.0);
    let run = |condition: &Tensor| tch::no_grad(|| network.sequence(&inputs, condition, Precision::F32));
    let differs = (run(&condition) - run(&changed)).abs().amax([1i64, 2].as_slice(), false);
    assert_eq!(differs.narrow(0, 0, FRAME as i64).max().double_value(&[]), 0.0);
    let after = differs.narrow(0, FRAME as i64, FRAME as i64).max().double_value(&[]);
    assert!(after > 1e-4, "{after}");
}

#[test]
fn a_voice_is_three_graphs_and_its_planner_is_told_the_word() {
    let mut store = Store::new(7, Device::Cpu);
    let planner = SpeechPlannerConfig { width: 4, hidden: 12, code: 6, couplings: 3 };
    let voice = Voice::new(&mut store, &SMALL, &planner, &CONDITION());
    let plans = voice.plans();
    assert_eq!(plans.iter().map(|plan| plan.name).collect::<Vec<_>>(), ["step", "planner", "encoder"]);
    let named = |name: &str| plans.iter().find(|plan| plan.name == name).unwrap();
    let words: Vec<f32> =
        [0, 1].iter().flat_map(|&speaker| CONDITION().word(Said { digit: 3, speaker }, 3000)).collect();
    let words = Tensor::from_slice(&words).reshape([2, CONDITION().word_width() as i64]);
    let noise = Tensor::ones([2, 6], (Kind::Float, Device::Cpu));
    let plan = voice.eager(named("planner"), &[words.shallow_clone(), noise.shallow_clone()]).remove(0);
    assert_eq!(plan.size(), [2, SIDE as i64, SIDE as i64]);
    assert!((plan.get(0) - plan.get(1)).abs().max().double_value(&[]) > 1e-3, "two voices, one plan");
    let read = voice.eager(named("encoder"), &[words, plan, noise]);
    assert_eq!((read[0].size(), read[1].size()), (vec![2, 6], vec![2, 1]));
    assert!(
        Exportable::delays(&voice, "step").len() == 1 && Exportable::delays(&voice, "planner").is_empty()
    );
}

#[test]
fn the_numbers_of_a_plan_count_among_the_bits_of_a_recording() {
    let mut voice = Spoken::open(&shipped("digits-wavenet"), runtime()).unwrap();
    let said = Said { digit: 3, speaker: 1 };
    // Without a sample there is nothing else to pay for.
    let bits = voice.bits(&[said], &[Vec::new()]).unwrap();
    assert!(bits[0] > 1.0, "{bits:?}");
    let tone: Vec<i64> =
        (0..400).map(|i| voice.law().encode(0.3 * (f64::from(i) * 0.2).sin()) as i64).collect();
    assert!(voice.bits(&[said], &[tone]).unwrap()[0] > bits[0] + 400.0);
}
