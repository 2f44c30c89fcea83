//! Runs: they learn, they stop and go on exactly, and what is wrong with them is said.

use std::path::Path;

use atelier_package::Existing;
use atelier_trainer::checkpoint::Checkpoint;
use atelier_trainer::export::{Weights, export};
use atelier_trainer::fit::{Outcome, Start, fit};
use atelier_trainer::nets::autoencoder::AutoencoderConfig;
use atelier_trainer::nets::vae::VaeConfig;
use atelier_trainer::ops::eager::to_vec;
use atelier_trainer::recipe::{Family, RecipeConfig};
use atelier_trainer::run::RunDir;
use tch::Device;

use crate::support::{NETWORKS, fixtures, generator, recipe, runtime};

fn shrink(network: &mut AutoencoderConfig) {
    (network.encoder.width, network.encoder.code, network.decoder_width) = (8, 16, 8);
}

/// A shipped recipe, made small: the same code on less data with a smaller network.
pub(crate) fn small(name: &str) -> RecipeConfig {
    let mut config = recipe(name);
    (config.epochs, config.every, config.batch) = (2, 1, 32);
    match &mut config.family {
        Family::Autoencoder(c) => shrink(&mut c.network),
        Family::Classifier(c) => shrink(&mut c.network),
        Family::DenoisingAutoencoder(c) => c.network.width = 8,
        Family::Inpainter(c) => c.network.width = 8,
        Family::VariationalAutoencoder(c) => match &mut c.network {
            VaeConfig::Gated { hidden, code, .. } => (*hidden, *code) = (32, 8),
            VaeConfig::Convolutional { encoder, decoder_width, hidden } => {
                (encoder.width, encoder.code, *decoder_width, *hidden) = (8, 8, 8, 32);
            }
        },
        Family::Gan(c) => (c.generator.latent, c.generator.width, c.discriminator.width) = (16, 8, 8),
        Family::CharRnn(c) => {
            (c.network.embedding, c.network.hidden, c.window) = (16, 32, 40);
            config.batch = 16;
        }
        Family::Wavenet(c) => {
            (c.network.width, c.network.skip, c.network.cycle, c.network.condition) = (8, 16, 3, 6);
            (c.planner.width, c.planner.hidden, c.planner.code) = (4, 16, 4);
            c.planner.couplings = 2;
            config.batch = 4;
        }
        Family::SequenceAutoencoder(c) => {
            (c.network.window, c.network.hidden, c.network.code, c.network.embedding) = (20, 16, 8, 2);
        }
        Family::Segmentation(c) => {
            (c.network.widths, c.augment.crop) = (vec![8, 12], 32);
            config.batch = 2;
        }
        family => crate::faces::shrink(family),
    }
    config
}

/// The recipes of one network with each of the losses.
pub(crate) const ADVERSARIAL: [&str; 4] =
    ["fashion-dcgan", "fashion-dcgan-lsgan", "fashion-dcgan-wgan", "fashion-dcgan-wgan-gp"];

pub(crate) fn train(
    config: &RecipeConfig,
    dir: &Path,
    resume: bool,
    stop: &dyn Fn(u64) -> bool,
) -> anyhow::Result<Outcome> {
    begin(config, dir, &if resume { Start::Last } else { Start::Fresh }, stop)
}

fn begin(
    config: &RecipeConfig,
    dir: &Path,
    start: &Start,
    stop: &dyn Fn(u64) -> bool,
) -> anyhow::Result<Outcome> {
    let _alone = generator();
    fit(config, &fixtures(), Device::Cpu, dir, start, stop)
}

/// Tensors by name, their numbers bit for bit.
type Bits = Vec<(String, Vec<u32>)>;

/// What a run has kept last.
pub(crate) fn tensors(dir: &Path) -> Bits {
    bits(&Checkpoint::read(&dir.join("last.safetensors")).unwrap())
}

/// What it has kept as its best: of which step, and for what figure.
fn best(dir: &Path) -> Option<(u64, Option<f64>, Bits)> {
    let path = dir.join("best.safetensors");
    path.is_file().then(|| {
        let checkpoint = Checkpoint::read(&path).unwrap();
        (checkpoint.step, checkpoint.figure, bits(&checkpoint))
    })
}

fn bits(checkpoint: &Checkpoint) -> Bits {
    let mut all: Vec<_> = checkpoint
        .tensors
        .iter()
        .map(|(name, t)| (name.clone(), to_vec(t).iter().map(|x| x.to_bits()).collect()))
        .collect();
    all.sort();
    all
}

#[test]
fn two_epochs_are_one_and_a_resumed_one_bit_for_bit() {
    tch::set_num_threads(1);
    for name in NETWORKS.iter().chain(&ADVERSARIAL[1..]) {
        let config = small(name);
        let dir = tempfile::tempdir().unwrap();
        let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
        assert_eq!(train(&config, &whole, false, &|_| false).unwrap(), Outcome::Finished);

        let steps = config.build(&fixtures(), Device::Cpu).unwrap().steps_per_epoch();
        // Stopped as by Ctrl-C, once at an epoch's end and once in the middle of the next.
        for stop in [steps, steps + steps / 2] {
            let outcome = train(&config, &parts, stop > steps, &|step| step == stop).unwrap();
            assert_eq!(outcome, Outcome::Stopped(stop));
        }
        assert_eq!(train(&config, &parts, true, &|_| false).unwrap(), Outcome::Finished);
        // Not assert_eq, which would print every number.
        assert!(tensors(&whole) == tensors(&parts), "{name}: the two ways end differently");
        assert!(best(&whole) == best(&parts), "{name}: the two ways keep another best");
        assert_eq!(best(&whole).is_none(), *name == "shakespeare-rnn", "{name}");
    }
}

/// The figures of a run's validations with their steps.
fn validations(dir: &Path, figure: &str) -> Vec<(u64, f64)> {
    let metrics = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| Some((line["step"].as_u64()?, line[figure].as_f64()?))).collect()
}

#[test]
fn the_best_weights_are_kept_where_later_ones_are_worse() {
    let mut config = small("fashion-ae");
    (config.epochs, config.optimiser.learning_rate, config.optimiser.average) = (4, 4e-3, 0.9);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let steps = config.build(&fixtures(), Device::Cpu).unwrap().steps_per_epoch();
    train(&config, &out, false, &|step| step == 2 * steps).unwrap();
    // The next epochs make every picture white, which no step of theirs gets away from.
    let path = out.join("last.safetensors");
    let mut checkpoint = Checkpoint::read(&path).unwrap();
    for (name, tensor) in &mut checkpoint.tensors {
        if name.ends_with("/pixels.bias") {
            let _ = tensor.fill_(20.0);
        }
    }
    checkpoint.write(&path).unwrap();
    let before = best(&out).unwrap();
    assert_eq!(train(&config, &out, true, &|_| false).unwrap(), Outcome::Finished);

    let found = validations(&out, "validation_mse");
    let &(step, mse) = found.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(found.len() == 4 && found[2].1 > 2.0 * mse && found[3].1 > 2.0 * mse, "{found:?}");
    let kept = best(&out).unwrap();
    assert!(kept.0 == step && (kept.1.unwrap() - mse).abs() < 1e-12, "{found:?}");
    assert!(kept == before, "a worse validation took the place of the best");
    let last = tensors(&out);
    assert!(kept.2.iter().all(|(name, _)| name.starts_with("average/")));
    assert!(kept.2.iter().any(|tensor| !last.contains(tensor)), "the last are others");

    let run = RunDir::open(&out).unwrap().0;
    let written = |weights, name: &str| {
        let target = dir.path().join("fashion-ae").join(name);
        export(&run, weights, &config, &fixtures(), &target, Existing::Refuse, runtime()).unwrap().step
    };
    assert_eq!((written(Weights::Best, "1"), written(Weights::Last, "2")), (step, 4 * steps));
    std::fs::remove_file(out.join("best.safetensors")).unwrap();
    let target = dir.path().join("fashion-ae/3");
    let none = export(&run, Weights::Best, &config, &fixtures(), &target, Existing::Refuse, runtime());
    let error = none.unwrap_err().to_string();
    assert!(error.contains("best.safetensors: no validation"), "{error}");
}

#[test]
fn a_run_that_could_not_begin_is_in_nobody_s_way() {
    tch::set_num_threads(1);
    let config = small("fashion-vae-anchor");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let error = fit(&config, dir.path(), Device::Cpu, &out, &Start::Fresh, &|_| false).unwrap_err();
    assert!(error.to_string().contains("No such file") && !out.exists(), "{error}");
    // Ended before anything was saved, as by a loss of power.
    RunDir::vacant(&out).unwrap().begin(&config, Device::Cpu).unwrap();
    assert_eq!(train(&config, &out, true, &|step| step == 2).unwrap(), Outcome::Stopped(2));
    let whole = dir.path().join("whole");
    train(&config, &whole, false, &|step| step == 2).unwrap();
    assert!(tensors(&whole) == tensors(&out));

    let config = small("fashion-ae-classifier");
    let out = dir.path().join("classifier");
    RunDir::vacant(&out).unwrap().begin(&config, Device::Cpu).unwrap();
    let error = train(&config, &out, true, &|_| false).unwrap_err().to_string();
    assert!(error.contains("ended before anything was saved"), "{error}");
}

#[test]
fn a_few_epochs_beat_what_needs_no_network() {
    // Mean square error of the mean image, of noise itself at sigma 0.5, of holes filled with their mean; nats
    // of coin flips; nats of the letters' frequencies; bits of mu-law levels of which half are hardly used.
    for (name, figure, better) in [
        ("fashion-ae", "validation_mse", 0.05),
        ("fashion-dae", "validation_psnr_0.5", 12.0),
        ("fashion-inpainter", "validation_psnr_centre", 12.0),
        ("fashion-vae", "validation_elbo", 480.0),
        ("fashion-vae-anchor", "validation_elbo", 480.0),
        ("shakespeare-rnn", "validation_nats", 3.3),
        ("digits-wavenet", "validation_bits", 7.5),
    ] {
        let mut config = small(name);
        config.epochs = 12;
        config.optimiser.learning_rate = 4e-3;
        config.optimiser.average = 0.9;
        if let Family::VariationalAutoencoder(c) = &mut config.family {
            c.divergence_warmup = 1.0;
        }
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        train(&config, &out, false, &|_| false).unwrap();
        let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let last = metrics.lines().rev().find(|line| line.contains(figure)).unwrap();
        let value = serde_json::from_str::<serde_json::Value>(last).unwrap()[figure].as_f64().unwrap();
        let good = if figure.contains("psnr") { value > better } else { value < better };
        assert!(good, "{name}: {figure} is {value}, it must be better than {better}");
        // A picture each; what is spoken is written as a sound beside it.
        let pictures = std::fs::read_dir(out.join("samples"))
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e != "wav"));
        assert_eq!(pictures.count(), 12, "{name}: a sample an epoch");
        assert!(out.join("curve.svg").is_file());
    }
}

#[test]
fn a_classifier_starts_from_an_autoencoder_which_stays_as_it_was() {
    tch::set_num_threads(1);
    let dir = tempfile::tempdir().unwrap();
    let (earlier, whole, parts) =
        (dir.path().join("earlier"), dir.path().join("whole"), dir.path().join("parts"));
    train(&small("fashion-ae"), &earlier, false, &|_| false).unwrap();
    let mut config = small("fashion-ae-classifier");
    (config.epochs, config.optimiser.average, config.optimiser.learning_rate) = (6, 0.9, 5e-3);
    let start = Start::From(RunDir::open(&earlier).unwrap().0);
    begin(&config, &whole, &start, &|_| false).unwrap();
    // The same, stopped and gone on with: it does not start from the autoencoder again.
    begin(&config, &parts, &start, &|step| step == 20).unwrap();
    begin(&config, &parts, &Start::Last, &|_| false).unwrap();
    assert!(tensors(&whole) == tensors(&parts), "the two ways end differently");

    let average = |dir: &Path| {
        let checkpoint = Checkpoint::read(&dir.join("last.safetensors")).unwrap();
        checkpoint.group("average", Device::Cpu)
    };
    let (before, after) = (average(&earlier), average(&whole));
    let moved = |from: &str, to: &str| (&after[to] - &before[from]).abs().max().double_value(&[]);
    for name in before.keys() {
        assert_eq!(moved(name, name), 0.0, "{name}");
        if name.starts_with("encoder.") && name.ends_with("weight") {
            let apart = moved(name, &format!("tuned.{name}"));
            assert!(apart > 0.0 && apart < 1.0, "{name} has moved by {apart}");
        }
    }
    let metrics = std::fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    let last = metrics.lines().rev().find(|line| line.contains("validation_accuracy")).unwrap();
    let value = serde_json::from_str::<serde_json::Value>(last).unwrap();
    // Ten classes: a tenth by chance.
    assert!(value["validation_accuracy"].as_f64().unwrap() > 0.35, "{last}");

    // Nothing to start from, and something else.
    let error = begin(&config, &dir.path().join("fresh"), &Start::Fresh, &|_| false).unwrap_err().to_string();
    assert!(error.contains("starts from a run of fashion-ae"), "{error}");
    let other = dir.path().join("other");
    train(&small("fashion-vae-anchor"), &other, false, &|step| step == 1).unwrap();
    let start = Start::From(RunDir::open(&other).unwrap().0);
    let error = format!("{:#}", begin(&config, &dir.path().join("wrong"), &start, &|_| false).unwrap_err());
    assert!(
        error.contains("cannot start from") && error.contains("encoder.enter.weight is missing"),
        "{error}"
    );
    // A smaller network would leave part of the autoencoder behind.
    if let Family::Classifier(c) = &mut config.family {
        c.network.encoder.inner_blocks -= 1;
    }
    let start = Start::From(RunDir::open(&earlier).unwrap().0);
    let error = format!("{:#}", begin(&config, &dir.path().join("less"), &start, &|_| false).unwrap_err());
    assert!(error.contains("the network has no parameter encoder."), "{error}");
}

#[test]
fn a_run_is_not_overwritten_and_not_resumed_with_another_recipe() {
    let mut config = small("fashion-vae-anchor");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&config, &out, false, &|step| step == 2).unwrap();
    let error = train(&config, &out, false, &|_| false).unwrap_err().to_string();
    assert!(error.contains("already holds a run"), "{error}");
    config.optimiser.learning_rate *= 2.0;
    let error = train(&config, &out, true, &|_| false).unwrap_err().to_string();
    assert!(error.contains("comes of another recipe"), "{error}");
    // Not even where the run's own copy of the recipe was changed.
    let copy = out.join("recipe.toml");
    let text = std::fs::read_to_string(&copy).unwrap();
    assert!(text.contains("learning_rate = 0.001\n"), "{text}");
    std::fs::write(&copy, text.replace("learning_rate = 0.001\n", "learning_rate = 0.002\n")).unwrap();
    let error = train(&RecipeConfig::read(&copy).unwrap(), &out, true, &|_| false).unwrap_err().to_string();
    assert!(error.contains("last.safetensors comes of another recipe"), "{error}");
    let error = train(&config, &dir.path().join("none"), true, &|_| false).unwrap_err().to_string();
    assert!(error.contains("holds no run"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let config = small("fashion-vae-anchor");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&config, &out, false, &|step| step == 2).unwrap();
    let path = out.join("last.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &b"not a checkpoint"[..], &[]] {
        std::fs::write(&path, damaged).unwrap();
        let error = format!("{:#}", train(&config, &out, true, &|_| false).unwrap_err());
        assert!(error.contains("last.safetensors: not a checkpoint"), "{error}");
    }
}

#[test]
fn a_loss_or_gradient_that_is_no_longer_finite_ends_the_run_and_keeps_the_checkpoint() {
    let config = small("fashion-vae-anchor");
    let dir = tempfile::tempdir().unwrap();
    // The second loss is large and finite, and the squares of its gradients are not.
    for (prefix, value, says) in [
        ("model/mean", f64::NAN, "the loss of step 2 is NaN"),
        ("model/pixels.weight", 1e25, "the gradient of step 2 is inf"),
    ] {
        let out = dir.path().join(prefix.replace('/', "-"));
        train(&config, &out, false, &|step| step == 2).unwrap();
        let path = out.join("last.safetensors");
        let mut checkpoint = Checkpoint::read(&path).unwrap();
        for (name, tensor) in &mut checkpoint.tensors {
            if name.starts_with(prefix) {
                let _ = tensor.fill_(value);
            }
        }
        checkpoint.write(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = train(&config, &out, true, &|_| false).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("optimiser.learning_rate"), "{error}");
        assert!(std::fs::read(&path).unwrap() == before, "the checkpoint was written over");
    }
}

#[test]
fn data_that_is_too_little_for_the_recipe_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut gan = small("fashion-dcgan-wgan");
    gan.batch = 512;
    let mut spoken = small("digits-wavenet");
    if let Family::Wavenet(c) = &mut spoken.family {
        c.longest = 0.1;
    }
    for (config, says) in
        [(gan, "fewer than a step takes"), (spoken, "for training is at most family.longest, 0.1 seconds")]
    {
        let error = train(&config, &dir.path().join("run"), false, &|_| false).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn missing_data_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, file) in [
        ("fashion-dae", "train-images-idx3-ubyte.gz"),
        ("nuclei-unet", "index.csv"),
        ("shakespeare-rnn", "tinyshakespeare.txt"),
        ("telemetry-msl", "labeled_anomalies.csv"),
        ("digits-wavenet", "recordings"),
    ] {
        let config = small(name);
        let out = dir.path().join(name);
        let error =
            fit(&config, dir.path(), Device::Cpu, &out, &Start::Fresh, &|_| false).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("No such file"), "{error}");
    }
}
