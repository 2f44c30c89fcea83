//! Model cards say what people need to know about a package.

use std::path::Path;

use atelier_package::Package;
use atelier_trainer::card;
use atelier_trainer::card::exhibit::{self, Exhibit};
use atelier_trainer::evaluate::report::{Bound, Figure, Report};

use crate::support::{fixtures, generator, runtime};

pub(crate) fn shipped(name: &str) -> Package {
    let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
    let newest = std::fs::read_dir(versions).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    Package::open(&newest).unwrap()
}

/// A copy of a shipped package, to write into.
fn copy(name: &str, directory: &Path) -> Package {
    let package = shipped(name);
    let version = package.version().to_string();
    let target = directory.join(name).join(version);
    std::fs::create_dir_all(&target).unwrap();
    for entry in std::fs::read_dir(package.directory()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    Package::open(&target).unwrap()
}

fn report(value: f64) -> Report {
    Report {
        package: "fashion-dae 1".into(),
        protocol: "a few test images".into(),
        figures: vec![
            Figure::new("psnr_db", value)
                .beside(&[("noisy", 12.5)])
                .levels(Bound::AtLeast(20.0), Bound::AtLeast(22.0)),
        ],
        notes: vec!["noisy: the input itself".into()],
    }
}

#[test]
fn a_card_says_figures_beside_baselines_licence_data_training_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let package = copy("fashion-dae", dir.path());
    let path = card::write(&package, &report(19.0), None).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let manifest = package.manifest();
    let limits = manifest.limits.as_deref().unwrap();
    for part in
        ["# fashion-dae", "| psnr_db | 19.0000 | noisy 12.5000 | >= 20.000 | >= 22.000 | BELOW |", limits]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains(&manifest.data) && text.contains(&manifest.licence));
    assert!(
        text.contains(&manifest.training.as_ref().unwrap().recipe) && text.contains("- noisy: the input")
    );
    // The package is still what it was: a card beside it is no stray file.
    Package::open(package.directory()).unwrap();
}

#[test]
fn what_a_card_shows_is_made_by_the_package_and_the_same_each_time() {
    let _alone = generator();
    for name in ["fashion-ae", "fashion-dae", "fashion-vae"] {
        let package = shipped(name);
        let make = || match exhibit::make(&package, &fixtures(), runtime()).unwrap() {
            Some(Exhibit::Picture { png, .. }) => image::load_from_memory(&png).unwrap().to_luma8(),
            _ => panic!("{name} shows no picture"),
        };
        let picture = make();
        assert!(picture.width() > 600 && picture.height() > 100, "{name}: {:?}", picture.dimensions());
        assert!(picture == make(), "{name}");
    }
    match exhibit::make(&shipped("shakespeare-rnn"), &fixtures(), runtime()).unwrap() {
        Some(Exhibit::Passage { text, .. }) => assert!(text.contains(' ') && text.len() >= 600, "{text}"),
        _ => panic!("a text was to be shown"),
    }
}
