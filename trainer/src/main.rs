//! `atelier-train`: trains, exports and evaluates the models of the fleet.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use atelier_trainer::fit::{Outcome, fit};
use atelier_trainer::recipe::RecipeConfig;
use atelier_trainer::run::RunDir;
use clap::{Parser, Subcommand};
use tch::Device;

/// Trains, exports and evaluates the models of the fleet.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a recipe.
    Fit {
        /// A recipe file, such as trainer/recipes/fashion-dae.toml.
        recipe: PathBuf,
        /// Where the data sets lie.
        #[arg(long, env = "ATELIER_DATA", default_value = "data")]
        data: PathBuf,
        /// Where the run is written [default: runs/PACKAGE].
        #[arg(long)]
        out: Option<PathBuf>,
        /// Go on with the run that is in --out.
        #[arg(long)]
        resume: bool,
        /// CPU threads [default: all].
        #[arg(long)]
        threads: Option<u16>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Fit { recipe, data, out, resume, threads } => {
            if let Some(threads) = threads {
                tch::set_num_threads(threads.into());
            }
            let config = RecipeConfig::read(&recipe)?;
            let out = out.unwrap_or_else(|| PathBuf::from("runs").join(&config.package));
            let run = if resume { RunDir::open(&out)?.0 } else { RunDir::create(&out, &config)? };
            let stop = Arc::new(AtomicBool::new(false));
            let signal = Arc::clone(&stop);
            ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed))
                .context("cannot handle signals")?;
            match fit(&config, &data, Device::Cpu, &run, resume, &stop)? {
                Outcome::Finished => eprintln!("done: {}", out.display()),
                Outcome::Stopped(step) => eprintln!("stopped and saved after step {step}: --resume goes on"),
            }
        }
    }
    Ok(())
}
