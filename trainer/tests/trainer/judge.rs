//! The onnx project's own checker on every graph that we write.

use std::path::PathBuf;
use std::process::Command;

use tch::Device;

use crate::support::{LATER, NETWORKS, fixtures, recipe};

/// The Python with the judges, which `cargo xtask test` sets up; there it must not be missing.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ATELIER_PYTHON").map(PathBuf::from).filter(|python| python.is_file());
    assert!(python.is_some() || std::env::var_os("XTASK_TEST").is_none(), "ATELIER_PYTHON names no Python");
    if python.is_none() {
        eprintln!("SKIPPED, not passed: there is no ATELIER_PYTHON; `cargo xtask test` installs it");
    }
    python
}

#[test]
fn the_onnx_checker_accepts_every_graph() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in NETWORKS.iter().chain(LATER) {
        let recipe = recipe(name).build(&fixtures(), Device::Cpu).unwrap();
        for plan in recipe.network().plans() {
            let path = dir.path().join(format!("{name}-{}.onnx", plan.name));
            std::fs::write(&path, recipe.network().export(&plan).onnx).unwrap();
            files.push(path);
        }
    }
    assert_eq!(files.len(), 21);
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for package in std::fs::read_dir(models).unwrap() {
        for version in std::fs::read_dir(package.unwrap().path()).unwrap() {
            for file in std::fs::read_dir(version.unwrap().path()).unwrap() {
                files.push(file.unwrap().path());
            }
        }
    }
    files.retain(|f| f.extension().is_some_and(|e| e == "onnx"));
    let script = "import sys, onnx\nfor f in sys.argv[1:]:\n    onnx.checker.check_model(f, full_check=True)\n    print('accepted', f)";
    let output = Command::new(python).arg("-c").arg(script).args(&files).output().unwrap();
    let accepted = String::from_utf8_lossy(&output.stdout).matches("accepted").count();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(accepted, files.len());
}

#[test]
fn the_onnx_checker_is_a_judge_that_refuses() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.onnx");
    let recipe = recipe("fashion-vae").build(&fixtures(), Device::Cpu).unwrap();
    let mut onnx = recipe.network().export(&recipe.network().plans()[1]).onnx;
    // An operator that does not exist.
    let places: Vec<usize> =
        onnx.windows(4).enumerate().filter(|(_, w)| w == b"Gemm").map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        onnx[at..at + 4].copy_from_slice(b"Gemn");
    }
    std::fs::write(&path, onnx).unwrap();
    let script = "import sys, onnx\nonnx.checker.check_model(sys.argv[1], full_check=True)";
    let output = Command::new(python).arg("-c").arg(script).arg(&path).output().unwrap();
    assert!(!output.status.success());
}
