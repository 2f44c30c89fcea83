//! `cargo xtask up`: the fleet on loopback.

use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
};

use anyhow::{Context, Result};

use crate::{
    cargo::cargo_here,
    layout::Layout,
    runtime::{self, Flavour, ORT_DYLIB_PATH},
};

/// The options of `cargo xtask up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Take the GPU build of ONNX Runtime (CUDA 13; cuDNN 9 and the CUDA libraries are the machine's own).
    #[arg(long)]
    cuda: bool,
    /// Options of `atelier up` itself, handed on as they are; `--models` is set where it is not among them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Up {
    /// Becomes `atelier up`: same process, so that signals and the exit code are its own.
    ///
    /// # Errors
    /// One line: the runtime cannot be had, or cargo cannot be started.
    pub(crate) fn run(self, layout: &Layout) -> Result<Infallible> {
        let library = runtime::onnxruntime(layout, Flavour::from_flag(self.cuda))?;
        let manifest = layout.workspace().join("Cargo.toml");
        let mut cargo = cargo_here();
        // Cargo too replaces itself by what it has built.
        cargo
            .args(["run", "--release", "--package", "atelier", "--bin", "atelier", "--manifest-path"])
            .arg(manifest)
            .args(["--", "up"])
            .args(with_models(self.args, layout.models().as_os_str()))
            .env(ORT_DYLIB_PATH, library);
        Err(cargo.exec()).context("cannot start cargo")
    }
}

/// The arguments with `--models FOLDER` before them, unless they name models themselves.
fn with_models(args: Vec<OsString>, models: &OsStr) -> Vec<OsString> {
    let named = args.iter().any(|arg| {
        let arg = arg.as_encoded_bytes();
        arg == b"--models" || arg.starts_with(b"--models=")
    });
    let own = if named { Vec::new() } else { vec!["--models".into(), models.to_owned()] };
    own.into_iter().chain(args).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Up,
    }

    fn parse(line: &[&str]) -> Up {
        Line::try_parse_from(std::iter::once("up").chain(line.iter().copied())).unwrap().up
    }

    #[test]
    fn cuda_is_ours_and_everything_after_is_handed_on() {
        let up = parse(&["--cuda", "--listen", "127.0.0.1:1", "--quiet"]);
        assert!(up.cuda);
        assert_eq!(up.args, ["--listen", "127.0.0.1:1", "--quiet"]);
        assert!(parse(&[]).args.is_empty());
    }

    #[test]
    fn shipped_models_are_served_unless_others_are_named() {
        let models = OsStr::new("/house/models");
        assert_eq!(with_models(vec!["-v".into()], models), ["--models", "/house/models", "-v"]);
        for own in [vec!["--models".into(), "/mine".into()], vec!["--models=/mine".into()]] {
            assert_eq!(with_models(own.clone(), models), own);
        }
    }
}
