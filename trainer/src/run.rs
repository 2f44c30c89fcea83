//! A run's directory: what was asked for, how it went, where it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::recipe::RecipeConfig;

/// The directory of one run:
/// `recipe.toml`, `metrics.jsonl`, `events.*`, `curve.png`, `samples/`, `last.safetensors`.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes a new run of `config`.
    ///
    /// # Errors
    /// The directory already holds a run, or cannot be written.
    pub fn create(path: &Path, config: &RecipeConfig) -> anyhow::Result<Self> {
        let run = Self { path: path.to_owned() };
        ensure!(
            !run.recipe_path().exists(),
            "{} already holds a run: use --resume to go on with it, or another --out",
            path.display()
        );
        std::fs::create_dir_all(run.samples()).with_context(|| format!("cannot make {}", path.display()))?;
        let text = toml::to_string(config).context("the recipe cannot be written as TOML")?;
        std::fs::write(run.recipe_path(), text)
            .with_context(|| format!("cannot write in {}", path.display()))?;
        Ok(run)
    }

    /// Opens a run that exists, with its recipe.
    ///
    /// # Errors
    /// There is no run, or its recipe cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<(Self, RecipeConfig)> {
        let run = Self { path: path.to_owned() };
        ensure!(run.recipe_path().is_file(), "{} holds no run (no recipe.toml in it)", path.display());
        let config = RecipeConfig::read(&run.recipe_path())?;
        Ok((run, config))
    }

    /// The recipe as it was resolved.
    #[must_use]
    pub fn recipe_path(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Pictures or passages, named after their step.
    #[must_use]
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// The last state.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// One JSON object a line.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }
}
