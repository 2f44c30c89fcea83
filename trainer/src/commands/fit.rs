use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use atelier_trainer::device;
use atelier_trainer::fit::{Outcome, fit};
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
    /// Where the run is written [default: runs/PACKAGE].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run that is in --out.
    #[arg(long)]
    resume: bool,
    /// CPU threads [default: all].
    #[arg(long)]
    threads: Option<u16>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = RecipeConfig::read(&arguments.recipe)?;
    let device = device::open(&arguments.device)?;
    if let Some(threads) = arguments.threads {
        tch::set_num_threads(i32::from(threads.max(1)));
    }
    let out = arguments.out.unwrap_or_else(|| PathBuf::from("runs").join(&config.package));
    let run = if arguments.resume { RunDir::open(&out)?.0 } else { RunDir::create(&out, &config)? };

    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&stop);
    ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed)).context("cannot handle signals")?;
    let stopped = |_| stop.load(Ordering::Relaxed);
    match fit(&config, &arguments.data.dir, device, &run, arguments.resume, &stopped)? {
        Outcome::Finished => {
            eprintln!(
                "done; export it with: atelier-train export {} --package models/{}/1",
                out.display(),
                config.package
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
