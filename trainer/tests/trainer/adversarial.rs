//! Two networks that learn against each other.

use atelier_package::Existing;
use atelier_trainer::checkpoint::Checkpoint;
use atelier_trainer::evaluate::{Settings, evaluate};
use atelier_trainer::export::{Weights, export};
use atelier_trainer::fit::Outcome;
use atelier_trainer::nets::dcgan::{Generator, GeneratorConfig};
use atelier_trainer::ops::eager::{Eager, Precision};
use atelier_trainer::random;
use atelier_trainer::recipe::Family;
use atelier_trainer::run::RunDir;
use atelier_trainer::store::Store;
use tch::{Device, Kind, Tensor};

use crate::fitting::{ADVERSARIAL, small, train};
use crate::support::{fixtures, generator, runtime};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

#[test]
fn each_player_s_loss_reaches_all_of_its_parameters() {
    for name in ADVERSARIAL {
        let mut recipe = small(name).build(&fixtures(), Device::Cpu).unwrap();
        let turns = recipe.turns();
        for (i, turn) in turns.iter().enumerate() {
            let _alone = generator();
            random::seed_torch(&[1, i as u64]);
            recipe.loss(0, i).total.backward();
            // A difference of scores does not depend on what is added to all of them.
            let shift = |name: &str| name == "discriminator.score.bias";
            for p in recipe.store().parameters().iter().filter(|p| p.trains() && !shift(&p.name)) {
                let mut gradient = p.value.grad();
                let moved = gradient.defined() && largest(&gradient) > 0.0;
                assert_eq!(moved, p.name.starts_with(turn.prefix), "{name}, turn {i}: {}", p.name);
                if gradient.defined() {
                    let _ = gradient.zero_();
                }
            }
        }
    }
}

#[test]
fn measured_statistics_are_those_of_what_was_run() {
    let config = GeneratorConfig { latent: 8, width: 8 };
    let mut store = Store::new(4, Device::Cpu);
    let network = Generator::new(&mut store, &config, 10);
    let _alone = generator();
    tch::manual_seed(3);
    let (z, class) = (Tensor::randn([64, 8], CPU), Tensor::randint(10, [64], (Kind::Int64, Device::Cpu)));
    tch::no_grad(|| {
        let by_batch = network.canvas(&mut Eager::with(Precision::F32), &z, &class);
        let before = network.canvas(&mut Eager::exact(), &z, &class);
        assert!(largest(&(&before - &by_batch)) > 1e-2, "nothing was measured yet");
        let measured = network.canvas(&mut Eager::measuring(), &z, &class);
        assert!(largest(&(&measured - &by_batch)) < 1e-4);
        let kept = network.canvas(&mut Eager::exact(), &z, &class);
        assert!(largest(&(&kept - &by_batch)) < 1e-4);
        // A picture no longer depends on the others of its batch.
        let alone = network.canvas(&mut Eager::exact(), &z.narrow(0, 5, 1), &class.narrow(0, 5, 1));
        assert!(largest(&(alone - kept.narrow(0, 5, 1))) < 1e-4);
    });
}

#[test]
fn averaged_weights_are_kept_and_exported_with_statistics_of_their_own() {
    let mut config = small("fashion-dcgan");
    config.optimiser.learning_rate = 4e-3;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(train(&config, &out, false, &|_| false).unwrap(), Outcome::Finished);
    let checkpoint = Checkpoint::read(&out.join("last.safetensors")).unwrap();
    let settled = |group: &str| {
        let _alone = generator();
        let mut recipe = config.build(&fixtures(), Device::Cpu).unwrap();
        recipe.store_mut().load(&checkpoint.group(group, Device::Cpu)).unwrap();
        recipe.settle();
        let named = recipe.store().named();
        named.into_iter().filter(|(name, _)| name.ends_with(".variance")).collect::<Vec<_>>()
    };
    let kept = checkpoint.group("average", Device::Cpu);
    let (of_average, of_last) = (settled("average"), settled("model"));
    assert_eq!(of_average.len(), 4);
    for ((name, ours), (_, last)) in of_average.iter().zip(&of_last) {
        assert!(largest(&(ours - &kept[name])) < 1e-5, "{name}: the run ended with others");
        assert!(largest(&(ours / last - 1.0)) > 1e-3, "{name}: the last weights have the same");
    }
}

#[test]
fn limited_weights_stay_within_their_limit_and_only_the_discriminator_s() {
    let mut config = small("fashion-dcgan-wgan");
    if let Family::Gan(gan) = &mut config.family {
        (gan.limit, gan.penalty, gan.discriminator.spectral) = (0.01, None, false);
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&config, &out, false, &|_| false).unwrap();
    let checkpoint = Checkpoint::read(&out.join("last.safetensors")).unwrap();
    for (name, value) in checkpoint.group("model", Device::Cpu) {
        if name.starts_with("discriminator.") {
            assert!(largest(&value) <= 0.0101, "{name}");
        }
        if name == "generator.norm0.gain" {
            assert!(largest(&value) > 0.5, "{name}");
        }
    }
}

#[test]
fn a_generator_is_exported_with_its_classes_and_evaluated_beside_baselines() {
    let config = small("fashion-dcgan");
    let dir = tempfile::tempdir().unwrap();
    let (out, target) = (dir.path().join("run"), dir.path().join("fashion-dcgan/1"));
    train(&config, &out, false, &|_| false).unwrap();
    let run = RunDir::open(&out).unwrap().0;
    let written =
        export(&run, Weights::Last, &config, &fixtures(), &target, Existing::Refuse, runtime()).unwrap();
    let labels = written.package.manifest().labels.as_ref().unwrap();
    assert_eq!((labels.names.len(), labels.find("ankle boot")), (10, Some(9)));

    let settings = Settings { importance_samples: 1, limit: Some(100), judges: None };
    let _alone = generator();
    let look = || evaluate(&written.package, &fixtures(), runtime(), &settings).unwrap();
    let report = look();
    assert!(report.figures.iter().all(|f| f.value.is_finite()), "{report}");
    let hog = &report.figures[0];
    assert_eq!(hog.name, "hog_fid");
    // Hardly trained: far worse than the baselines that the same code has measured.
    assert!(hog.baselines.iter().all(|(_, of_baseline)| hog.value > of_baseline + 1.0), "{report}");
    assert!(!report.accepted());
    assert_eq!(look().metrics(), report.metrics(), "the same figures each time");
}
