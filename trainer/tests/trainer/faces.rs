//! The families that learn from faces, on drawn faces: people's photographs stay out of the repository.

mod drawn;

use std::path::{Path, PathBuf};

use atelier_package::{Existing, Package};
use atelier_trainer::augment::Augmentation;
use atelier_trainer::data::faces::{Faces, Part};
use atelier_trainer::evaluate::faces::baselines::{Prototypes, others};
use atelier_trainer::evaluate::faces::ridge::AgeRidge;
use atelier_trainer::evaluate::{Settings, evaluate};
use atelier_trainer::export::{Weights, export, parity};
use atelier_trainer::fit::{Outcome, Start, fit};
use atelier_trainer::recipe::{Family, RecipeConfig};
use atelier_trainer::run::RunDir;
use tch::{Device, Kind, Tensor};

use crate::evaluators::real_data;
use crate::fitting::{self, tensors};
use crate::support::{generator, runtime};

/// What the others build upon, and then they.
const RECIPES: [&str; 6] =
    ["face-age-judge-b", "face-encoder-b", "face-novelty", "face-vae-gan", "utkface-gan", "face-ageing"];
/// The package of the sampler beside the runs, of which the ager learns.
const SAMPLER: &str = "models/utkface-gan/1";

/// Makes the networks of a family that learns from faces small.
pub(crate) fn shrink(family: &mut Family) {
    match family {
        Family::AgeJudge(c) => (c.network.trunk.width, c.network.trunk.features) = (4, 16),
        Family::FaceEncoder(c) => (c.network.trunk.width, c.network.trunk.features) = (4, 16),
        Family::FaceNovelty(c) => c.network.trunk.width = 4,
        Family::FaceAger(c) => {
            (c.network.width, c.network.blocks, c.network.code, c.critic.width) = (4, 1, 8, 4);
            (c.lessons.people, c.lessons.ages) = (40, 3);
        }
        Family::FaceVaeGan(c) => {
            // The critic is there before the first epoch is over.
            (c.alone, c.critic.width) = (2, 4);
            (c.network.trunk.width, c.network.trunk.features) = (4, 16);
            let decoder = &mut c.network.decoder;
            (decoder.width, decoder.latent, decoder.style) = (4, 8, 8);
        }
        Family::FaceSampler(c) => {
            let flow = &mut c.network;
            (flow.width, flow.blocks, flow.style, flow.steps) = (16, 1, 8, 2);
        }
        _ => panic!("a family that nothing makes small"),
    }
}

/// A shipped recipe, made small, with the runs that it builds upon in `runs`.
fn small(name: &str, runs: &Path) -> RecipeConfig {
    let mut config = fitting::small(name);
    config.batch = 16;
    let moved = |run: &mut PathBuf| *run = runs.join(run.file_name().unwrap());
    match &mut config.family {
        Family::FaceAger(c) => {
            moved(&mut c.novelty);
            c.lessons.sampler = runs.join(SAMPLER);
        }
        Family::FaceSampler(c) => moved(&mut c.codes),
        _ => {}
    }
    config
}

fn train(config: &RecipeConfig, out: &Path, resume: bool, stop: &dyn Fn(u64) -> bool) -> Outcome {
    let _alone = generator();
    let start = if resume { Start::Last } else { Start::Fresh };
    fit(config, &drawn::data(), Device::Cpu, out, &start, stop).unwrap()
}

/// Runs of all recipes, one after the other.
fn runs() -> &'static Path {
    static RUNS: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        tch::set_num_threads(1);
        let dir = tempfile::tempdir().unwrap();
        for name in RECIPES {
            let config = small(name, dir.path());
            let out = dir.path().join(name);
            assert_eq!(train(&config, &out, false, &|_| false), Outcome::Finished);
            if name == "utkface-gan" {
                pack(&out, &dir.path().join(SAMPLER));
            }
        }
        dir
    });
    dir.path()
}

fn pack(run: &Path, directory: &Path) {
    let (run, config) = RunDir::open(run).unwrap();
    export(&run, Weights::Last, &config, &drawn::data(), directory, Existing::Refuse, runtime()).unwrap();
}

fn package(name: &str, directory: PathBuf) -> PathBuf {
    pack(&runs().join(name), &directory);
    directory
}

#[test]
fn parts_have_no_photograph_in_common_even_where_it_is_there_twice() {
    let faces = Faces::read(&drawn::data()).unwrap();
    let parts = [Part::Test, Part::Validation, Part::First, Part::Second].map(|part| faces.part(part));
    let all: std::collections::HashSet<usize> = parts.iter().flatten().copied().collect();
    assert_eq!(all.len(), parts.iter().map(Vec::len).sum::<usize>(), "a face is in two parts");
    assert_eq!(faces.part(Part::Train).len(), parts[2].len() + parts[3].len());
    assert!(all.len() < drawn::COUNT && all.len() > drawn::COUNT - 2 * drawn::TWICE, "{}", all.len());
    // The drawn faces that are there twice have one number of pixels and one age: no two parts have both.
    let picture = |i: usize| {
        let face = faces.batch(&[i], Device::Cpu);
        (face.images * 255.0).to_kind(Kind::Int64).sum(Kind::Int64).int64_value(&[])
    };
    for (i, one) in parts.iter().enumerate() {
        for other in &parts[i + 1..] {
            let seen: Vec<i64> = one.iter().map(|&i| picture(i)).collect();
            assert!(other.iter().all(|&i| !seen.contains(&picture(i))));
        }
    }
}

#[test]
fn ages_are_those_of_the_file_names() {
    let faces = Faces::read(&drawn::data()).unwrap();
    let batch = faces.batch(&[0, drawn::COUNT - 1], Device::Cpu);
    assert_eq!(batch.images.size(), [2, 3, 64, 64]);
    assert_eq!(Vec::<f32>::try_from(&batch.ages).unwrap(), [drawn::age(0), drawn::age(drawn::COUNT - 1)]);
    assert!(batch.images.max().double_value(&[]) <= 1.0 && batch.images.min().double_value(&[]) >= 0.0);
}

#[test]
fn an_archive_that_is_not_of_aligned_faces_is_refused_by_entry() {
    let dir = tempfile::tempdir().unwrap();
    let error = Faces::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("UTKFace.tar") && error.contains("No such file"), "{error}");
    let face = drawn::jpeg(1, 64);
    for (name, data, expected) in [
        ("UTKFace/face.jpg", face.clone(), "begins with an age"),
        ("UTKFace/300_1_0_1.jpg", face.clone(), "begins with an age"),
        ("UTKFace/30_1_0_1.jpg", drawn::jpeg(1, 48), "is 48 x 48, not 64 x 64"),
        ("UTKFace/30_1_0_1.jpg", b"no picture".to_vec(), "30_1_0_1.jpg: "),
        ("UTKFace/30_1_0_1.jpg", face, "1 faces are too few"),
    ] {
        std::fs::write(dir.path().join("UTKFace.tar"), drawn::tar(&[(name.to_owned(), data)])).unwrap();
        let error = Faces::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("UTKFace.tar"), "{error}");
    }
}

#[test]
fn face_runs_stop_and_go_on_bit_for_bit() {
    let runs = runs();
    for name in RECIPES {
        let config = small(name, runs);
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("parts");
        let steps = config.build(&drawn::data(), Device::Cpu).unwrap().steps_per_epoch();
        let stop = steps + steps / 2;
        assert_eq!(train(&config, &parts, false, &|step| step == stop), Outcome::Stopped(stop));
        assert_eq!(train(&config, &parts, true, &|_| false), Outcome::Finished);
        assert!(tensors(&runs.join(name)) == tensors(&parts), "{name}: the two ways end differently");
        assert_eq!(
            std::fs::read_dir(parts.join("samples")).unwrap().count(),
            2,
            "{name}: a picture an epoch"
        );
    }
}

#[test]
fn a_run_does_not_go_on_where_one_that_it_builds_upon_has_become_another() {
    let dir = tempfile::tempdir().unwrap();
    let codes = small("face-vae-gan", dir.path());
    assert_eq!(
        train(&codes, &dir.path().join("face-vae-gan"), false, &|step| step == 3),
        Outcome::Stopped(3)
    );
    let config = small("utkface-gan", dir.path());
    let out = dir.path().join("utkface-gan");
    assert_eq!(train(&config, &out, false, &|step| step == 3), Outcome::Stopped(3));
    let resume = |stop: u64| {
        let _alone = generator();
        fit(&config, &drawn::data(), Device::Cpu, &out, &Start::Last, &|step| step == stop)
    };
    let minutes = |run: &Path| RunDir::open(run).unwrap().0.summary().unwrap().minutes;
    let before = std::fs::read_to_string(out.join("earlier-minutes.txt")).unwrap();
    let before: f64 = before.parse().unwrap();
    assert_eq!(before, minutes(&dir.path().join("face-vae-gan")), "what painted counts as well");
    assert_eq!(resume(5).unwrap(), Outcome::Stopped(5));
    assert_eq!(train(&codes, &dir.path().join("face-vae-gan"), true, &|step| step == 4), Outcome::Stopped(4));
    let error = format!("{:#}", resume(6).unwrap_err());
    assert!(error.contains("cannot resume: a run that") && error.contains("utkface-gan"), "{error}");
}

#[test]
fn every_face_graph_agrees_with_libtorch() {
    for name in RECIPES {
        let recipe = small(name, runs()).build(&drawn::data(), Device::Cpu).unwrap();
        let network = recipe.network();
        for plan in network.plans() {
            parity(runtime(), network, &plan, &network.export(&plan)).unwrap();
        }
    }
}

#[test]
fn each_player_s_loss_reaches_all_that_he_moves() {
    for name in RECIPES {
        let mut recipe = small(name, runs()).build(&drawn::data(), Device::Cpu).unwrap();
        recipe.prepare().unwrap();
        let _alone = generator();
        for (i, turn) in recipe.turns().into_iter().enumerate() {
            // By then every player is there.
            let loss = recipe.loss(16, i).total;
            assert!(loss.double_value(&[]).is_finite());
            loss.backward();
            let moved = recipe.store().parameters().iter();
            for p in moved.filter(|p| p.trains() && p.name.starts_with(turn.prefix)) {
                if p.name == "critic.score.bias" {
                    // As long as every score is within the margin, photographs and made faces pull alike.
                    continue;
                }
                let gradient = p.value.grad();
                let reached = gradient.defined() && gradient.abs().max().double_value(&[]) > 0.0;
                assert!(reached, "{name}: {}", p.name);
            }
        }
    }
}

#[test]
fn a_run_that_others_build_upon_must_be_there_and_of_the_right_kind() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |config: &RecipeConfig| match config.build(&drawn::data(), Device::Cpu) {
        Ok(_) => panic!("built without the run"),
        Err(e) => e.to_string(),
    };
    let error = refused(&small("face-ageing", dir.path()));
    assert!(error.contains("face-novelty") && error.contains("holds no run"), "{error}");
    let ager = |change: &dyn Fn(&mut PathBuf, &mut PathBuf)| {
        let mut config = small("face-ageing", runs());
        let Family::FaceAger(c) = &mut config.family else { panic!("of another family") };
        change(&mut c.novelty, &mut c.lessons.sampler);
        refused(&config)
    };
    let error = ager(&|novelty, _| *novelty = runs().join("face-encoder-b"));
    assert!(error.contains("face-encoder-b: is no run of kind face-novelty"), "{error}");
    let error = ager(&|_, sampler| *sampler = dir.path().join("models/utkface-gan/9"));
    assert!(error.contains("models/utkface-gan/9"), "{error}");
    let encoder = package("face-encoder-b", dir.path().join("judges/face-encoder-b/1"));
    let error = ager(&|_, sampler| sampler.clone_from(&encoder));
    assert!(error.contains("no graph generator that makes faces of 64x64 of z and age"), "{error}");
}

#[test]
fn an_ager_is_evaluated_by_judges_of_its_own_directory_beside_ageing_without_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let ager = package("face-ageing", dir.path().join("models/face-ageing/1"));
    let settings = Settings { importance_samples: 1, limit: None, judges: None };
    let measure = || {
        let _alone = generator();
        evaluate(&Package::open(&ager).unwrap(), &drawn::data(), runtime(), &settings)
    };
    let error = format!("{:#}", measure().unwrap_err());
    assert!(error.contains("judges/face-age-judge-b/1"), "{error}");
    for name in ["face-age-judge-b", "face-encoder-b"] {
        package(name, dir.path().join("judges").join(name).join("1"));
    }
    let report = measure().unwrap();
    let figure = |name: &str| report.figures.iter().find(|f| f.name == name).unwrap();
    let beside = |name: &str, of: &str| figure(name).baselines.iter().find(|b| b.0 == of).unwrap().1;
    assert!(beside("age_slope", "copy").abs() < 1e-6);
    assert!((beside("verified", "copy") - 1.0).abs() < 1e-9);
    assert!(beside("verified", "other_face") < 0.5);
    assert!(beside("age_slope_by_gradients", "prototype") > 0.05);
    assert!((0.0..=1.0).contains(&figure("verified").value));
    assert_eq!(figure("age_slope").verdict(), figure("verified").verdict(), "both are asked for together");
    assert!(figure("own_age_psnr_db").value > 10.0);
}

#[test]
fn a_sampler_is_evaluated_beside_a_normal_distribution_of_faces() {
    let dir = tempfile::tempdir().unwrap();
    let sampler = package("utkface-gan", dir.path().join("models/utkface-gan/1"));
    for name in ["face-age-judge-b", "face-encoder-b"] {
        package(name, dir.path().join("judges").join(name).join("1"));
    }
    let settings = Settings { importance_samples: 1, limit: Some(40), judges: None };
    let _alone = generator();
    let package = Package::open(&sampler).unwrap();
    let report = evaluate(&package, &drawn::data(), runtime(), &settings).unwrap();
    let distance = report.figures.iter().find(|f| f.name == "gradient_distance").unwrap();
    let beside = |of: &str| distance.baselines.iter().find(|b| b.0 == of).unwrap().1;
    assert!(
        beside("other_photographs") < distance.value,
        "an untrained sampler is further off than photographs"
    );
}

#[test]
fn gradients_say_the_age_of_a_drawn_face_better_than_a_guess() {
    let faces = Faces::read(&drawn::data()).unwrap();
    let ridge = AgeRidge::fit(&faces, &faces.part(Part::Train)).unwrap();
    let test = faces.batch(&[faces.part(Part::Test), faces.part(Part::Validation)].concat(), Device::Cpu);
    let error = |ages: &Tensor| (ages - &test.ages).abs().mean(Kind::Double).double_value(&[]);
    let (judged, guessed) =
        (error(&ridge.judge(&test.images)), error(&test.ages.median().expand_as(&test.ages)));
    assert!(judged < 0.8 * guessed, "{judged} years, a guess {guessed}");
}

#[test]
fn gradients_err_by_what_was_published_with_the_figures() {
    let Some(data) = real_data() else { return };
    let faces = Faces::read(&data).unwrap();
    let test = faces.batch(&faces.part(Part::Test), Device::Cpu);
    let ridge = AgeRidge::fit(&faces, &faces.part(Part::Train)).unwrap();
    let error = (ridge.judge(&test.images) - &test.ages).abs().mean(Kind::Double).double_value(&[]);
    // 8.60 on another tenth of the faces, where some photographs were trained on too.
    assert!((error - 8.60).abs() < 0.35, "{error}");
}

#[test]
fn a_face_at_its_own_age_is_its_prototype_s_face() {
    let faces = Faces::read(&drawn::data()).unwrap();
    let batch = faces.batch(&faces.part(Part::Test)[..1], Device::Cpu);
    let prototypes = Prototypes::of(&faces);
    let age = f64::from(faces.age(faces.part(Part::Test)[0]));
    let same = prototypes.age(&batch.images, &batch.ages, age);
    assert!((same - &batch.images).abs().max().double_value(&[]) < 1e-5);
    let aged = prototypes.age(&batch.images, &batch.ages, 100.0 - age);
    assert!((aged - &batch.images).abs().mean(Kind::Double).double_value(&[]) > 0.01);
}

#[test]
fn another_face_is_as_near_an_age_as_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    // Of people of 1 to 20 years.
    let name = |i: usize| format!("{}_0_0_{i:017}.jpg.chip.jpg", 1 + i % 20);
    let files: Vec<_> = (0..60).map(|i| (name(i), drawn::jpeg(i as u64, 64))).collect();
    std::fs::write(dir.path().join("UTKFace.tar"), drawn::tar(&files)).unwrap();
    let faces = Faces::read(dir.path()).unwrap();
    let test = faces.part(Part::Test);
    let picture = |images: &Tensor| (images * 255.0).sum(Kind::Double).double_value(&[]).round() as i64;
    let oldest = test.iter().map(|&i| faces.age(i)).fold(0.0, f32::max);
    let oldest = test.iter().filter(|&&i| faces.age(i) == oldest);
    let oldest: Vec<i64> = oldest.map(|&i| picture(&faces.batch(&[i], Device::Cpu).images)).collect();
    let others = others(&faces, 5, 75.0);
    assert_eq!(others.size(), [5, 3, 64, 64]);
    assert!((0..5).all(|i| oldest.contains(&picture(&others.get(i)))));
}

#[test]
fn no_augmentation_changes_nothing_and_much_of_it_changes_every_picture() {
    let faces = Faces::read(&drawn::data()).unwrap();
    let images = faces.batch(&[0, 1, 2, 3], Device::Cpu).images;
    let _alone = generator();
    tch::manual_seed(3);
    let same = Augmentation::default().apply(&images);
    assert!((same - &images).abs().max().double_value(&[]) < 1e-4);
    let strong =
        Augmentation { mirror: 0.5, shift: 0.2, zoom: 0.4, degrees: 20.0, colour: 0.4, grey: 0.2, blur: 0.5 };
    let watched = images.set_requires_grad(true);
    let changed = strong.apply(&watched);
    let apart = (&changed - &watched).abs().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
    assert!(apart.min().double_value(&[]) > 0.01);
    changed.sum(Kind::Float).backward();
    assert!(watched.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0, "a player learns through it");
}
