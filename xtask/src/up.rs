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
    /// Take the GPU build of ONNX Runtime (CUDA 13; cuDNN 9 and the CUDA libraries are the machine's own)
    /// and run the models on `cuda:0`.
    #[arg(long)]
    cuda: bool,
    /// Options of `atelier up` itself, handed on as they are; `--models` (and `--device`, with `--cuda`) are
    /// set where they are not among them.
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
            .args(with_defaults(self.args, layout.models().as_os_str(), self.cuda))
            .env(ORT_DYLIB_PATH, library);
        Err(cargo.exec()).context("cannot start cargo")
    }
}

/// The arguments, behind `--models FOLDER` and, on a GPU, `--device cuda:0`, unless they say so themselves.
fn with_defaults(args: Vec<OsString>, models: &OsStr, cuda: bool) -> Vec<OsString> {
    let named = |flag: &str| {
        args.iter().any(|arg| {
            let rest = arg.as_encoded_bytes().strip_prefix(flag.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        })
    };
    let mut defaults: Vec<OsString> = Vec::new();
    if !named("--models") {
        defaults.extend(["--models".into(), models.to_owned()]);
    }
    if cuda && !named("--device") {
        defaults.extend(["--device".into(), "cuda:0".into()]);
    }
    defaults.into_iter().chain(args).collect()
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
        assert_eq!(with_defaults(vec!["-v".into()], models, false), ["--models", "/house/models", "-v"]);
        for own in [vec!["--models".into(), "/mine".into()], vec!["--models=/mine".into()]] {
            assert_eq!(with_defaults(own.clone(), models, false), own);
        }
    }

    #[test]
    fn on_a_gpu_the_first_one_is_taken_unless_another_is_named() {
        let models = OsStr::new("/house/models");
        assert_eq!(
            with_defaults(Vec::new(), models, true),
            ["--models", "/house/models", "--device", "cuda:0"]
        );
        let own = vec!["--models=/mine".into(), "--device=cuda:1".into()];
        assert_eq!(with_defaults(own.clone(), models, true), own);
    }
}
