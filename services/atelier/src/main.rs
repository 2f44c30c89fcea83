//! The binary `atelier`: the fleet, its roles, and the commands that call it.

mod calibrate;
mod cli;
mod client;
mod files;
mod import;
mod keys;
mod picture;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.say();
            ExitCode::from(failure.exit() as u8)
        }
    }
}
