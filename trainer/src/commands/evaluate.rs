use std::path::PathBuf;
use std::process::ExitCode;

use atelier_package::Package;
use atelier_trainer::card::{self, exhibit};
use atelier_trainer::evaluate::{Settings, evaluate};
use atelier_trainer::onnx_runtime::OnnxRuntime;

use clap::builder::RangedU64ValueParser;

use super::DataDir;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The package: models/NAME/VERSION.
    package: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Only print: leave the package's metrics and its model card (README.md) as they are.
    #[arg(long)]
    dry_run: bool,
    /// Importance samples an image (variational autoencoders).
    #[arg(long, default_value_t = 500, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    samples: usize,
    /// Measure on the first N of the test split only, 2 or more. Never written into the package.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    limit: Option<usize>,
    /// Where the judges of face models lie [default: judges, beside the directory of all models].
    #[arg(long, value_name = "DIR")]
    judges: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut package = Package::open(&arguments.package)?;
    let runtime = OnnxRuntime::load(std::thread::available_parallelism().map_or(1, usize::from))?;
    let settings =
        Settings { importance_samples: arguments.samples, limit: arguments.limit, judges: arguments.judges };
    let report = evaluate(&package, &arguments.data.dir, &runtime, &settings)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    if !arguments.dry_run && arguments.limit.is_none() {
        // Before anything is written: figures without the card that belongs to them are worse than neither.
        let exhibit = exhibit::make(&package, &arguments.data.dir, &runtime)?;
        package.write_metrics(report.metrics())?;
        card::write(&package, &report, exhibit.as_ref())?;
    }
    Ok(if report.accepted() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
