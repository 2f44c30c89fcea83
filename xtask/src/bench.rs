//! `cargo xtask bench`: how fast the fleet is, beside what it could be.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::cargo_here,
    layout::Layout,
    peers::Peers,
    runtime::{self, Flavour},
};

/// The options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure, and options of the benchmark itself, handed on as they are: see `cargo xtask bench --
    /// --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Bench {
    /// Builds the program and the benchmark in release, and runs it.
    ///
    /// # Errors
    /// One line: the runtime cannot be had, or something cannot be built.
    pub(crate) fn run(self, layout: &Layout) -> Result<ExitCode> {
        let library = runtime::onnxruntime(layout, flavour(&self.args))?;
        let Peers { options, missed } = Peers::get(layout, &self.args);
        let manifest = layout.workspace().join("Cargo.toml");
        let mut build = cargo_here();
        build.args(["build", "--release", "--package", "atelier", "--bin", "atelier", "--manifest-path"]);
        ensure!(
            build.arg(&manifest).status().context("cannot start cargo")?.success(),
            "atelier does not build"
        );
        let mut target = cargo_here();
        target.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(&manifest);
        let metadata: serde_json::Value =
            serde_json::from_slice(&target.output().context("cannot start cargo")?.stdout)?;
        let target = metadata["target_directory"].as_str().context("cargo names no target directory")?;
        let program = std::path::Path::new(target).join("release/atelier");
        let mut run = cargo_here();
        run.args(["run", "--release", "--package", "atelier-bench", "--manifest-path"]).arg(&manifest);
        run.arg("--").args(self.args).args(options).arg("--program").arg(program);
        run.arg("--models").arg(layout.models()).arg("--onnxruntime").arg(library);
        let status = run.status().context("cannot start cargo")?;
        if missed {
            eprintln!("error: measured without a peer, which could not be installed: see above");
        }
        Ok(if status.success() && !missed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The build of the runtime that these arguments of the benchmark need: that for a GPU where its group `device` is
/// asked for, unless it is to be about the processor.
fn flavour(args: &[OsString]) -> Flavour {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let device = args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("--device") {
        Some("") => args.get(at + 1).copied(),
        Some(value) => value.strip_prefix('='),
        None => None,
    });
    Flavour::from_flag(args.contains(&"device") && device != Some("cpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_measured_with_the_build_for_it_and_nothing_else_is() {
        let flavour =
            |line: &str| super::flavour(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        for line in ["device", "device --device cuda", "--rounds 3 device --device=cuda:1"] {
            assert_eq!(flavour(line), Flavour::Cuda, "{line}");
        }
        for line in ["", "limit", "device --device cpu", "--device=cpu device", "limit --device cuda"] {
            assert_eq!(flavour(line), Flavour::Cpu, "{line}");
        }
    }
}
