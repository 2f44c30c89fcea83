//! `atelier-train`: trains, exports and evaluates the models of the fleet.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Trains, exports and evaluates the models of the fleet.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a recipe, or go on training it. Keeps the last state and, of most families, the best by validation.
    Fit(commands::fit::Arguments),
    /// Write a run's network as a package that services can serve.
    Export(commands::export::Arguments),
    /// Measure a package on the test split and write what it reached into it.
    Evaluate(commands::evaluate::Arguments),
    /// Make one HTML page of a run: its course, its samples, its recipe.
    Report(commands::report::Arguments),
    /// The data sets that recipes read.
    Data(commands::data::Arguments),
}

fn main() -> ExitCode {
    atelier_trainer::memory::keep();
    let result = match Arguments::parse().command {
        Command::Fit(arguments) => commands::fit::run(arguments),
        Command::Export(arguments) => commands::export::run(arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments),
        Command::Report(arguments) => commands::report::run(arguments),
        Command::Data(arguments) => commands::data::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            eprintln!("atelier-train: {e:#}");
            ExitCode::FAILURE
        }
    }
}
