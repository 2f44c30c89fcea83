//! What several tests need.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use atelier_trainer::onnx_runtime::OnnxRuntime;
use atelier_trainer::recipe::RecipeConfig;

/// A recipe for every network that we export.
#[rustfmt::skip]
pub(crate) const NETWORKS: &[&str] = &[
    "digits-wavenet",
    "fashion-ae",
    "fashion-dae",
    "fashion-dcgan",
    "fashion-inpainter",
    "fashion-vae",
    "fashion-vae-anchor",
    "nuclei-unet",
    "shakespeare-rnn",
    "telemetry-smap",
];

/// Recipes that start from the run of another.
pub(crate) const LATER: &[&str] = &["fashion-ae-classifier"];

/// Small parts of real data.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The recipes that we ship.
pub(crate) fn recipe_files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// The file of one of them.
pub(crate) fn recipe_file(name: &str) -> PathBuf {
    recipe_files().into_iter().find(|f| f.file_stem().is_some_and(|s| s == name)).unwrap()
}

pub(crate) fn recipe(name: &str) -> RecipeConfig {
    RecipeConfig::read(&recipe_file(name)).unwrap()
}

/// ONNX Runtime, loaded once: the library allows no second environment.
pub(crate) fn runtime() -> &'static OnnxRuntime {
    static RUNTIME: OnceLock<OnnxRuntime> = OnceLock::new();
    RUNTIME.get_or_init(|| OnnxRuntime::load(1).unwrap())
}

/// Held by every test that draws from libtorch's generator: there is one in a process.
pub(crate) fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}
