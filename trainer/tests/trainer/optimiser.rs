//! Our AdamW against libtorch's.

use atelier_trainer::optim::{AdamW, OptimiserConfig};
use atelier_trainer::store::{Init, Store};
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn};

use crate::support::generator;

fn config() -> OptimiserConfig {
    OptimiserConfig {
        learning_rate: 1e-2,
        final_fraction: 0.1,
        warmup: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        weight_decay: 0.1,
        clip: 0.0,
        average: 0.99,
    }
}

#[test]
fn a_hundred_steps_are_those_of_libtorch() {
    let mut store = Store::new(1, Device::Cpu);
    let ours = store.parameter("w", &[6, 5], Init::Normal(1.0));
    let vs = nn::VarStore::new(Device::Cpu);
    let mut theirs = vs.root().zeros("w", &[6, 5]);
    tch::no_grad(|| theirs.copy_(&ours));
    let mut optimiser = AdamW::new(&store, config());
    let mut reference =
        nn::AdamW { beta1: 0.9, beta2: 0.99, wd: 0.1, eps: 1e-8, amsgrad: false }.build(&vs, 1e-2).unwrap();
    let _alone = generator();
    tch::manual_seed(4);
    for step in 0..100 {
        let x = Tensor::randn([8, 5], (Kind::Float, Device::Cpu));
        let loss = |w: &Tensor| (x.matmul(&w.tr()).sin() - 0.3).square().mean(Kind::Float);
        loss(&ours).backward();
        optimiser.update(&store, "", step, 1e-2);
        reference.backward_step(&loss(&theirs));
    }
    let difference = (ours - theirs).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn the_rate_rises_to_its_peak_and_falls_to_its_final_fraction() {
    let config = config();
    let rates: Vec<f64> = (0..1000).map(|step| config.rate(step, 1000)).collect();
    assert!(
        (0..12).all(|step| config.rate(step, 12) <= config.learning_rate),
        "over its peak in a short run"
    );
    assert!((rates[99] - 1e-2).abs() < 1e-4 && rates[0] < 2e-4);
    assert!(rates[..100].windows(2).all(|w| w[0] < w[1]) && rates[100..].windows(2).all(|w| w[0] >= w[1]));
    assert!((rates[999] - 1e-3).abs() < 1e-4);
}

#[test]
fn a_gradient_is_scaled_down_to_the_clip_and_its_norm_is_told() {
    let mut store = Store::new(1, Device::Cpu);
    let w = store.parameter("w", &[4], Init::Constant(0.0));
    let mut optimiser = AdamW::new(&store, OptimiserConfig { clip: 1.0, ..config() });
    (&w * 3.0).sum(Kind::Float).backward();
    assert!((optimiser.update(&store, "", 0, 1e-2) - 6.0).abs() < 1e-6);
    let first = &optimiser.named(&store)[0].1;
    // A tenth of the gradient, which was clipped to norm 1: a half each.
    assert!((first.double_value(&[0]) - 0.05).abs() < 1e-6);
}

#[test]
fn a_turn_moves_its_own_parameters_and_clears_every_gradient() {
    let mut store = Store::new(1, Device::Cpu);
    let mine = store.parameter("mine.w", &[4], Init::Constant(0.0));
    let other = store.parameter("other.w", &[4], Init::Constant(0.0));
    let mut optimiser = AdamW::new(&store, config());
    (&mine + &other * 2.0).sum(Kind::Float).backward();
    let norm = optimiser.update(&store, "mine.", 0, 1e-2);
    assert!((norm - 2.0).abs() < 1e-6, "only its own gradients count: {norm}");
    assert!((mine.double_value(&[0]) + 1e-2).abs() < 1e-6);
    assert_eq!(other.double_value(&[0]), 0.0);
    assert_eq!(other.grad().abs().max().double_value(&[]), 0.0);
}
