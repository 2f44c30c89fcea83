//! The networks: exported as recorded, and the two forms of the recurrent one.

use atelier_trainer::export::parity;
use atelier_trainer::nets::char_rnn::{CharRnn, CharRnnConfig, State};
use atelier_trainer::ops::eager::Eager;
use atelier_trainer::random;
use atelier_trainer::store::Store;
use tch::{Device, Kind, Tensor};

use crate::support::{LATER, NETWORKS, fixtures, generator, recipe, runtime};

#[test]
fn every_graph_of_every_recipe_agrees_with_libtorch() {
    for name in NETWORKS.iter().chain(LATER) {
        let recipe = recipe(name).build(&fixtures(), Device::Cpu).unwrap();
        let network = recipe.network();
        for plan in network.plans() {
            parity(runtime(), network, &plan, &network.export(&plan)).unwrap();
        }
    }
}

fn small() -> (Store, CharRnn) {
    let config = CharRnnConfig { embedding: 8, layers: 2, hidden: 16 };
    let mut store = Store::new(3, Device::Cpu);
    let network = CharRnn::new(&mut store, &config, 11);
    (store, network)
}

#[test]
fn a_sequence_is_its_steps_one_after_the_other() {
    let (_store, network) = small();
    let _alone = generator();
    let tokens = Tensor::randint(11, [20, 3], (Kind::Int64, Device::Cpu));
    let mut state = State::zeros(network.config(), 3, Device::Cpu);
    let (logits, last) = network.sequence(&tokens, &state, None);
    for t in 0..20 {
        let (one, next) = network.step(&mut Eager::exact(), &tokens.get(t), &state.h, &state.c);
        let difference = (one - logits.get(t)).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "step {t}: {difference}");
        state = next;
    }
    assert!((state.h - last.h).abs().max().double_value(&[]) < 1e-5);
    assert!((state.c - last.c).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn a_character_changes_nothing_that_was_said_before_it() {
    let (_store, network) = small();
    let tokens = Tensor::zeros([10, 1], (Kind::Int64, Device::Cpu));
    let changed = tokens.copy();
    let _ = changed.get(6).fill_(5);
    let state = State::zeros(network.config(), 1, Device::Cpu);
    let (a, _) = network.sequence(&tokens, &state, None);
    let (b, _) = network.sequence(&changed, &state, None);
    let differs = (a - b).abs().sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float);
    assert_eq!(differs.narrow(0, 0, 6).sum(Kind::Float).double_value(&[]), 0.0);
    assert!(differs.get(6).double_value(&[]) > 0.0);
}

#[test]
fn fresh_networks_know_nothing_and_every_parameter_has_a_gradient() {
    for (name, expected) in [
        ("shakespeare-rnn", None),
        ("fashion-vae", Some(784.0 * 2f64.ln())),
        ("fashion-vae-anchor", Some(784.0 * 2f64.ln())),
        ("fashion-ae", None),
        ("fashion-dae", None),
        ("fashion-inpainter", None),
        ("telemetry-smap", None),
        ("nuclei-unet", None),
        ("digits-wavenet", Some(256f64.ln())),
    ] {
        let mut recipe = recipe(name).build(&fixtures(), Device::Cpu).unwrap();
        let _alone = generator();
        random::seed_torch(&[1]);
        let value = recipe.loss(0, 0).total.double_value(&[]);
        // An untrained network gives each of V characters the chance 1/V, and each pixel one half.
        let expected = expected.unwrap_or(match recipe.vocabulary() {
            Some(v) => (v.characters.len() as f64).ln(),
            None => value,
        });
        assert!((value - expected).abs() < 0.1 * expected.abs(), "{name}: {value}, not {expected}");
        // What starts at zero lets no gradient through: only from the second step on.
        for p in recipe.store().parameters().iter().filter(|p| p.name.ends_with(".weight")) {
            if tch::no_grad(|| p.value.abs().max().double_value(&[])) == 0.0 {
                let _ = tch::no_grad(|| p.value.shallow_clone().normal_(0.0, 0.01));
            }
        }
        recipe.loss(0, 0).total.backward();
        for p in recipe.store().parameters() {
            let gradient = p.value.grad();
            assert!(
                gradient.defined() && gradient.abs().sum(Kind::Float).double_value(&[]) > 0.0,
                "{}",
                p.name
            );
        }
    }
}
