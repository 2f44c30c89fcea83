//! How fast the fleet is, beside what it could be. Run it by `cargo xtask bench`, which builds it and the program
//! in release and says where things are.
//!
//! Every figure is a ratio within one run whose parts take turns, since machines are shared and noisy; a median
//! of several rounds; with the processor time of the servers beside it.

mod bare;
mod closed;
mod device;
mod infer;
mod limit;
mod machine;
mod median;
mod open;
mod overload;
mod parity;
mod peer;
mod peers;
mod perceptron;
mod raw;
mod report;
mod rows;
mod server;
mod streams;
mod subject;
mod telemetry;
mod voices;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use atelier_engine::Device;
use clap::{Parser, ValueEnum};

use report::Report;
use server::Program;

/// How fast the fleet is, beside what it could be.
#[derive(Debug, Parser)]
struct Cli {
    /// What to measure; where nothing is said all of it but `device`, which wants a GPU
    groups: Vec<Group>,
    /// The program `atelier`, built in release
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// The shipped packages
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
    /// A Python that has MLServer
    #[arg(long, value_name = "FILE")]
    mlserver: Option<PathBuf>,
    /// A Python that has PyTriton
    #[arg(long, value_name = "FILE")]
    triton: Option<PathBuf>,
    /// The device that `device` is about: cuda, cuda:N or cpu
    #[arg(long, default_value = "cuda")]
    device: Device,
    /// How many rounds the medians are of
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long each part of a round takes
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    seconds: f64,
    /// The most callers or streams at a time; what is measured with more is left out
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    most: u16,
    /// Write the figures as JSON here, after each group
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=600.0).contains(seconds));
    seconds.ok_or_else(|| "must be seconds, from 0.05 to 600".into())
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// ModelInfer beside the raw runtime
    Limit,
    /// Text and audio streams beside their step graphs in a bare loop, and beside one stream at a time
    Streams,
    /// More requests than can be answered, in an open loop
    Overload,
    /// Rows in a batch beside the same rows alone, for every shipped graph
    Parity,
    /// ModelInfer beside other servers of the same protocol
    Peers,
    /// What metrics cost beside a request
    Telemetry,
    /// Every shipped graph on a GPU beside the processor
    Device,
}

/// What all measurements share.
struct Settings {
    program: Program,
    models: PathBuf,
    pythons: peer::Pythons,
    rounds: usize,
    time: Duration,
    /// Callers or streams at a time.
    most: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` keeps it to one line; returning the error would add a backtrace.
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let settings = Settings {
        program: Program { path: cli.program, onnxruntime: cli.onnxruntime },
        models: cli.models,
        pythons: peer::Pythons { mlserver: cli.mlserver, triton: cli.triton },
        rounds: cli.rounds.into(),
        time: Duration::from_secs_f64(cli.seconds),
        most: cli.most.into(),
    };
    let usual = Group::value_variants().iter().copied().filter(|group| *group != Group::Device).collect();
    let groups = if cli.groups.is_empty() { usual } else { cli.groups };
    let alone = groups == [Group::Device];
    ensure!(
        alone || !groups.contains(&Group::Device),
        "device is measured in a run of its own: its engine loads ONNX Runtime itself, which a process does once"
    );
    let runtime = if alone { None } else { Some(raw::Runtime::load(&settings.program.onnxruntime)?) };
    let runtime = || runtime.as_ref().context("ONNX Runtime is not loaded");
    let mut report = Report::new(settings.rounds, cli.seconds);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", report.heading())?;
    let mut failed = Vec::new();
    for group in groups {
        let measured = match group {
            Group::Limit => limit::measure(&settings, runtime()?).await,
            Group::Streams => streams::measure(&settings, runtime()?).await,
            Group::Overload => overload::measure(&settings).await,
            Group::Parity => parity::measure(&settings, runtime()?).await,
            Group::Peers => peers::measure(&settings, runtime()?).await,
            Group::Telemetry => telemetry::measure(&settings, runtime()?).await,
            Group::Device => device::measure(&settings, cli.device).await,
        };
        match measured {
            Ok(table) => {
                writeln!(out, "{}", table.markdown())?;
                report.tables.push(table);
                if let Some(path) = &cli.json {
                    let text = serde_json::to_string_pretty(&report)?;
                    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())?;
                }
            }
            // What was measured before, and what comes after, is worth having all the same.
            Err(error) => {
                let group = format!("{group:?}").to_lowercase();
                eprintln!("error: {group}: {error:#}");
                failed.push(group);
            }
        }
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
