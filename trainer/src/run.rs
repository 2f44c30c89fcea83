//! A run's directory: what was asked for, how it went, where it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::recipe::RecipeConfig;

/// The directory of one run:
/// `recipe.toml`, `machine.txt`, `metrics.jsonl`, `events.*`, `curve.svg`, `samples/`, `last.safetensors`.
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
        let written = std::fs::write(run.machine_path(), machine())
            .and_then(|()| std::fs::write(run.recipe_path(), text));
        written.with_context(|| format!("cannot write in {}", path.display()))?;
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

    /// Notes that the run starts from an earlier one, whose minutes count as well.
    ///
    /// # Errors
    /// The earlier run cannot be read, or this directory cannot be written.
    pub fn starts_from(&self, earlier: &Self) -> anyhow::Result<()> {
        let minutes = earlier.summary()?.minutes;
        std::fs::write(self.earlier_path(), minutes.to_string())
            .with_context(|| format!("cannot write in {}", self.path.display()))
    }

    /// The recipe as it was resolved.
    #[must_use]
    pub fn recipe_path(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    fn machine_path(&self) -> PathBuf {
        self.path.join("machine.txt")
    }

    /// The minutes of the run that this one starts from, if there is one.
    fn earlier_path(&self) -> PathBuf {
        self.path.join("earlier-minutes.txt")
    }

    /// What the run has taken so far, read from what it wrote.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn summary(&self) -> anyhow::Result<Summary> {
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        // Every line says the seconds since the run began or was resumed.
        let (mut before, mut last) = (0.0, 0.0);
        for line in read(self.metrics())?.lines() {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let Some(seconds) = value.get("seconds").and_then(serde_json::Value::as_f64) else { continue };
            if seconds < last {
                before += last;
            }
            last = seconds;
        }
        let earlier = match self.earlier_path() {
            path if path.is_file() => read(path.clone())?
                .trim()
                .parse::<f64>()
                .with_context(|| format!("{} is no number", path.display()))?,
            _ => 0.0,
        };
        let minutes = ((before + last) / 6.0).round() / 10.0 + earlier;
        Ok(Summary { minutes, machine: read(self.machine_path())?.trim().to_owned() })
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

    /// The picture of the loss.
    #[must_use]
    pub fn curve(&self) -> PathBuf {
        self.path.join("curve.svg")
    }

    /// One JSON object a line.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }
}

/// What a run took.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Minutes of training, all parts of a resumed run together, and those of the run that it started from.
    pub minutes: f64,
    /// The machine on which it began.
    pub machine: String,
}

/// Processor, cores and library of this machine.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {} threads, libtorch 2.11.0", tch::get_num_threads())
}
