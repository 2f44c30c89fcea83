use std::path::PathBuf;
use std::process::ExitCode;

use atelier_trainer::page;
use atelier_trainer::run::RunDir;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The run's directory.
    run: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (run, config) = RunDir::open(&arguments.run)?;
    println!("{}", page::write(&run, &config)?.display());
    Ok(ExitCode::SUCCESS)
}
