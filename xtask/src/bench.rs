//! `cargo xtask bench`: how fast the fleet is, beside what it could be.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::cargo_here,
    layout::Layout,
    peers,
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
        let library = runtime::onnxruntime(layout, Flavour::Cpu)?;
        let peers = peers::options(layout, &self.args)?;
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
        run.arg("--").args(self.args).args(peers).arg("--program").arg(program);
        run.arg("--models").arg(layout.models()).arg("--onnxruntime").arg(library);
        let status = run.status().context("cannot start cargo")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
