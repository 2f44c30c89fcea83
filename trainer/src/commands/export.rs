use std::path::PathBuf;
use std::process::ExitCode;

use atelier_package::Existing;
use atelier_trainer::export::{BATCHES, TOLERANCE, Weights, export};
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
    /// Take the weights of the best validation, not those of the last step.
    ///
    /// The last are the better ones as a rule, once the learning rate has fallen to its end; the best are for runs that
    /// were stopped or got worse. None are kept of text, whose validation is on the test split, and of faces that are
    /// aged or given back, whose first figure does not say which are best.
    #[arg(long)]
    best: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (run, config) = RunDir::open(&arguments.run)?;
    let runtime = OnnxRuntime::load(2)?;
    let existing = if arguments.replace { Existing::Replace } else { Existing::Refuse };
    let weights = if arguments.best { Weights::Best } else { Weights::Last };
    let (data, package) = (&arguments.data.dir, &arguments.package);
    let written = export(&run, weights, &config, data, package, existing, &runtime)?;
    if weights == Weights::Best {
        eprintln!("the best validation was after step {} of {}", written.step, written.total);
    } else if written.step < written.total {
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
