//! Models that come and go while others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use atelier_engine::{Config, Engine, EngineError, Health};
use atelier_package::Package;

use crate::support::{noise, packages, until};

fn package(name: &str) -> Package {
    packages().into_iter().find(|package| package.name().as_str() == name).unwrap()
}

/// The package under another version, in a directory of its own.
fn as_version(name: &str, version: u32) -> (tempfile::TempDir, Package) {
    let directory = tempfile::tempdir().unwrap();
    for file in package(name).directory().read_dir().unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
    }
    let manifest = directory.path().join("package.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let line = text.lines().find(|line| line.starts_with("version")).unwrap().to_owned();
    std::fs::write(&manifest, text.replace(&line, &format!("version = {version}"))).unwrap();
    let package = Package::open(directory.path()).unwrap();
    (directory, package)
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_added_and_retired_and_nobody_who_asks_meanwhile_is_lost() {
    let engine = Engine::load(&Config::default(), &[package("mlp")]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let newest = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|seed| {
            let (engine, stop, newest) = (engine.clone(), Arc::clone(&stop), Arc::clone(&newest));
            tokio::spawn(async move {
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    let model = engine.model("mlp", 0, &[]).unwrap();
                    model.run("mlp", vec![noise(seed, 1 + seed as usize)], None).await.unwrap();
                    newest.store(model.version().get() as usize, Ordering::Relaxed);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let (_directory, second) = as_version("mlp", 2);
    for _ in 0..3 {
        let adding = (engine.clone(), second.clone());
        tokio::task::spawn_blocking(move || adding.0.add(&adding.1)).await.unwrap().unwrap();
        assert_eq!(engine.plan().graphs.len(), 2);
        until("the new version answers", || newest.load(Ordering::Relaxed) == 2).await;
        engine.retire(second.name(), second.version(), Duration::from_secs(20)).await.unwrap();
        assert_eq!((engine.models().len(), engine.plan().graphs.len()), (1, 1));
        until("the old version answers again", || newest.load(Ordering::Relaxed) == 1).await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0, "and none of them failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_cannot_be_added_changes_nothing() {
    let engine = Engine::load(&Config::default(), &[package("mlp")]).unwrap();
    let same = engine.add(&package("mlp")).unwrap_err();
    assert_eq!(same, EngineError::Package("mlp/1 is served already".into()));
    let (directory, foreign) = as_version("mlp", 2);
    let golden = directory.path().join("golden.safetensors");
    let mut bytes = std::fs::read(&golden).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 0x40;
    std::fs::write(&golden, bytes).unwrap();
    let foreign = Package::open(foreign.directory()).unwrap();
    assert!(matches!(engine.add(&foreign), Err(EngineError::Package(_))));
    assert_eq!((engine.models().len(), engine.health()), (1, Health::Ready));
    let unknown = engine.retire(foreign.name(), foreign.version(), Duration::ZERO).await.unwrap_err();
    assert!(unknown.to_string().ends_with("there are: mlp/1"), "{unknown}");
    engine.shutdown(Duration::ZERO).await;
    assert_eq!(engine.add(&package("conv")), Err(EngineError::Draining));
    assert_eq!(engine.models().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_could_not_be_added_is_told_of_until_it_is_served_or_gone() {
    let engine = Engine::load(&Config::default(), &[package("mlp")]).unwrap();
    let not_loaded = || -> Vec<String> {
        engine.not_loaded().iter().map(|not| format!("{}/{}", not.name, not.version)).collect()
    };
    let (directory, good) = as_version("mlp", 2);
    let golden = directory.path().join("golden.safetensors");
    let whole = std::fs::read(&golden).unwrap();
    let mut other = whole.clone();
    let last = other.len() - 2;
    other[last] ^= 0x40;
    std::fs::write(&golden, other).unwrap();
    let bad = Package::open(good.directory()).unwrap();
    for _ in 0..2 {
        assert!(engine.add(&bad).is_err());
        assert_eq!(not_loaded(), ["mlp/2"], "once, however often it is tried");
    }
    engine.forget(bad.name(), bad.version());
    assert!(not_loaded().is_empty());

    assert!(engine.add(&bad).is_err());
    std::fs::write(&golden, whole).unwrap();
    engine.add(&Package::open(good.directory()).unwrap()).unwrap();
    assert_eq!((not_loaded().len(), engine.models().len()), (0, 2));
}
