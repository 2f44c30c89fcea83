//! A run's directory: what was asked for, how it went, where it stands.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tch::Device;

use crate::curve;
use crate::recipe::RecipeConfig;

/// The directory of one run:
/// `recipe.toml`, `machine.txt`, `metrics.jsonl`, `events.*`, `curve.svg`, `samples/`, `last.safetensors`, and
/// `best.safetensors` where weights may be chosen by the validation.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Where a run may begin. Makes nothing yet.
    ///
    /// # Errors
    /// The directory already holds a run.
    pub fn vacant(path: &Path) -> anyhow::Result<Self> {
        let run = Self { path: path.to_owned() };
        ensure!(
            !run.recipe_path().exists(),
            "{} already holds a run: use --resume to go on with it, or another --out",
            path.display()
        );
        Ok(run)
    }

    /// Begins a run of `config` on `device`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn begin(&self, config: &RecipeConfig, device: Device) -> anyhow::Result<()> {
        let path = self.path.display();
        std::fs::create_dir_all(self.samples()).with_context(|| format!("cannot make {path}"))?;
        let text = toml::to_string(config).context("the recipe cannot be written as TOML")?;
        // The recipe is what the directory is taken by: last, so that a run that is ended here has not begun; and of two
        // that begin at once one is refused.
        std::fs::write(self.machine_path(), machine(device))
            .and_then(|()| File::create_new(self.recipe_path()))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot begin a run in {path}"))
    }

    /// Notes that the run goes on, where that is on another machine than before.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub fn goes_on(&self, device: Device) -> anyhow::Result<()> {
        let (path, here) = (self.machine_path(), machine(device));
        let before = read(&path)?;
        if before.lines().any(|machine| machine.trim() == here) {
            return Ok(());
        }
        std::fs::write(&path, format!("{}\n{here}", before.trim()))
            .with_context(|| format!("cannot write {}", path.display()))
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
    /// The directory cannot be written.
    pub fn starts_after(&self, minutes: f64) -> anyhow::Result<()> {
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
        // Every line says the seconds since the run began or was resumed.
        let (mut before, mut last) = (0.0_f64, 0.0_f64);
        for line in read(&self.metrics())?.lines() {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if value.get(curve::START).is_some() {
                before += std::mem::take(&mut last);
            }
            let Some(seconds) = value.get("seconds").and_then(serde_json::Value::as_f64) else { continue };
            // Older runs do not say where they were resumed.
            if seconds < last {
                before += last;
            }
            last = seconds;
        }
        let earlier = match self.earlier_path() {
            path if path.is_file() => read(&path)?
                .trim()
                .parse::<f64>()
                .with_context(|| format!("{} is no number", path.display()))?,
            _ => 0.0,
        };
        let minutes = ((before + last) / 6.0).round() / 10.0 + earlier;
        let machines = read(&self.machine_path())?;
        let machines: Vec<&str> = machines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Ok(Summary { minutes, machine: machines.join("; then ") })
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

    /// The averaged weights of the best validation, where weights may be chosen so.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
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
    /// The machine on which it ran, or those that it went on on, in their order.
    pub machine: String,
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Processor, cores and library of this machine, and the device if that is not the processor.
fn machine(device: Device) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let device = match device {
        Device::Cpu => String::new(),
        Device::Cuda(index) => {
            format!(", cuda:{index}{}", gpu().map_or(String::new(), |name| format!(" ({name})")))
        }
        other => format!(", {other:?}"),
    };
    format!("{model}, {cores} cores, {} threads{device}, libtorch 2.11.0", tch::get_num_threads())
}

/// What the driver calls the GPUs, where all of them are of one kind.
fn gpu() -> Option<String> {
    let gpus = std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.flatten();
    let mut names: Vec<String> = gpus
        .filter_map(|gpu| {
            let text = std::fs::read_to_string(gpu.path().join("information")).ok()?;
            Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned())
        })
        .collect();
    names.dedup();
    names.pop().filter(|_| names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(directory: &Path, metrics: &str) -> RunDir {
        let run = RunDir { path: directory.to_owned() };
        std::fs::write(run.machine_path(), "another, 64 cores").unwrap();
        std::fs::write(run.metrics(), metrics).unwrap();
        run
    }

    #[test]
    fn minutes_are_those_of_all_parts_however_late_their_first_lines_come() {
        let dir = tempfile::tempdir().unwrap();
        let line = |seconds: u32| format!("{{\"step\":1,\"seconds\":{seconds}}}\n");
        let start = "{\"start\":1}\n";
        for (metrics, minutes) in [
            (start.to_owned() + &line(60) + start + &line(90) + &line(120), 3.0),
            // Without marks, as older runs wrote them, and such a run gone on with.
            (line(60) + &line(30) + &line(120), 3.0),
            (line(60) + &line(120) + start + &line(180), 5.0),
            (start.to_owned(), 0.0),
        ] {
            assert_eq!(run(dir.path(), &metrics).summary().unwrap().minutes, minutes, "{metrics}");
        }
    }

    #[test]
    fn a_machine_that_a_run_goes_on_on_is_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path(), "");
        for _ in 0..2 {
            run.goes_on(Device::Cuda(1)).unwrap();
        }
        let expected = format!("another, 64 cores; then {}", machine(Device::Cuda(1)));
        assert_eq!(run.summary().unwrap().machine, expected);
    }

    #[test]
    fn a_device_is_named_beside_the_processor_that_drives_it() {
        assert!(machine(Device::Cuda(1)).contains(" threads, cuda:1"));
        assert!(!machine(Device::Cpu).contains("cuda"));
    }
}
