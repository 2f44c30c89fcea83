use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use atelier_package::Kind;
use atelier_trainer::device;
use atelier_trainer::fit::{Outcome, Start, fit};
use atelier_trainer::ops::eager::Precision;
use atelier_trainer::recipe::RecipeConfig;
use atelier_trainer::run::RunDir;

use super::DataDir;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A recipe file, such as trainer/recipes/fashion-dae.toml.
    recipe: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// Where to compute: cpu, cuda:0, cuda:1 …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Where the run is written [default: runs/RECIPE].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run that is in --out.
    #[arg(long)]
    resume: bool,
    /// For a recipe that starts from the run of another: that run [default: runs/THAT RECIPE].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// CPU threads [default: all].
    #[arg(long)]
    threads: Option<u16>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = RecipeConfig::read(&arguments.recipe)?;
    let device = device::open(&arguments.device)?;
    if config.precision == Precision::Bf16 && !device::has_bf16(device) {
        eprintln!(
            "precision is \"bf16\", for which this processor has no instructions: precision = \"f32\" is several times faster here"
        );
    }
    if let Some(threads) = arguments.threads {
        tch::set_num_threads(i32::from(threads.max(1)));
    }
    let runs = PathBuf::from("runs");
    let out = arguments.out.unwrap_or_else(|| runs.join(config.name()));
    ensure!(
        arguments.from.is_none() || config.from.is_some(),
        "--from: {} starts afresh, from no other run",
        arguments.recipe.display()
    );
    let start = match &config.from {
        _ if arguments.resume => Start::Last,
        None => Start::Fresh,
        Some(recipe) => {
            let directory = arguments.from.unwrap_or_else(|| runs.join(recipe));
            let wanted = || {
                format!(
                    "this recipe starts from a run of {recipe}: train that first, or say where it is with --from"
                )
            };
            Start::From(RunDir::open(&directory).with_context(wanted)?.0)
        }
    };

    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&stop);
    ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed)).context("cannot handle signals")?;
    let stopped = |_| stop.load(Ordering::Relaxed);
    match fit(&config, &arguments.data.dir, device, &out, &start, &stopped)? {
        Outcome::Finished => {
            eprintln!(
                "done; export it with: atelier-train export {} --package {}",
                out.display(),
                next(Path::new(""), &config).display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped(step) => {
            eprintln!("saved after step {step}; the same command with --resume goes on");
            // As a shell reports a program that was interrupted.
            Ok(ExitCode::from(130))
        }
    }
}

/// Where the next version of a recipe's package is to lie, below `root`: beside the models or, what nobody serves but
/// faces are judged by, among the judges.
fn next(root: &Path, config: &RecipeConfig) -> PathBuf {
    let home = if config.family.kind() == Kind::Onnx { "judges" } else { "models" };
    let package = root.join(home).join(&config.package);
    let versions = std::fs::read_dir(&package).into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
    package.join((newest.unwrap_or(0) + 1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_next_takes_the_place_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = |name: &str| {
            let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
            RecipeConfig::read(&recipes.join(name).with_extension("toml")).unwrap()
        };
        let models = dir.path().join("models/fashion-dae");
        assert_eq!(next(dir.path(), &recipe("fashion-dae")), models.join("1"));
        for version in ["2", "10", ".3.new-77"] {
            std::fs::create_dir_all(models.join(version)).unwrap();
        }
        assert_eq!(next(dir.path(), &recipe("fashion-dae")), models.join("11"));
        let judge = dir.path().join("judges/face-encoder-b/1");
        assert_eq!(next(dir.path(), &recipe("face-encoder-b")), judge);
    }
}
