use std::path::PathBuf;
use std::process::ExitCode;

use atelier_package::Existing;
use atelier_trainer::export::{BATCHES, TOLERANCE, export};
use atelier_trainer::onnx_runtime::OnnxRuntime;
use atelier_trainer::run::RunDir;

use super::DataDir;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The run's directory.
    run: PathBuf,
    /// Where the package is written: models/NAME/VERSION.
    #[arg(long, value_name = "DIR")]
    package: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// Put it in the place of the package that is there.
    #[arg(long)]
    replace: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (run, config) = RunDir::open(&arguments.run)?;
    let runtime = OnnxRuntime::load(2)?;
    let existing = if arguments.replace { Existing::Replace } else { Existing::Refuse };
    let written = export(&run, &config, &arguments.data.dir, &arguments.package, existing, &runtime)?;
    if written.step < written.total {
        eprintln!(
            "the run is not finished: these are the weights after step {} of {}",
            written.step, written.total
        );
    }
    for parity in written.parities {
        eprintln!(
            "{}: ONNX Runtime differs from libtorch by at most {:.1e} at batch sizes {BATCHES:?} (allowed {TOLERANCE:.0e})",
            parity.graph, parity.max_error
        );
    }
    eprintln!("wrote {}", written.package.directory().display());
    Ok(ExitCode::SUCCESS)
}
