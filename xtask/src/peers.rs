//! The servers that `cargo xtask bench peers` measures beside ours, each in a Python environment of its own: they
//! do not agree on what they need.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{layout::Layout, platform::Platform, venv::Venv};

const MLSERVER: Venv = Venv {
    folder: "peers/mlserver",
    title: "MLServer",
    requirements: include_str!("../../tests/bench/peers/mlserver.txt"),
};
const TRITON: Venv = Venv {
    folder: "peers/triton",
    title: "Triton with its Python backend",
    requirements: include_str!("../../tests/bench/peers/triton.txt"),
};

/// What the benchmark is told of the peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// The options that say where they are.
    pub(crate) options: Vec<OsString>,
    /// Whether one is missing although they were asked for by name.
    pub(crate) missed: bool,
}

impl Peers {
    /// Those that can be had, where these arguments of the benchmark ask for them: by name, or by asking for
    /// everything. What cannot be installed is left out, and said to be.
    pub(crate) fn get(layout: &Layout, args: &[OsString]) -> Self {
        let mut peers = Self::default();
        if !asked(args) {
            return peers;
        }
        let mut take = |option: &str, venv: Venv, python: Result<PathBuf>| match python {
            Ok(python) => peers.options.extend([option.into(), python.into()]),
            Err(error) => {
                eprintln!("WITHOUT {}: {error:#}", venv.title);
                peers.missed |= named(args);
            }
        };
        take("--mlserver", MLSERVER, MLSERVER.python(layout));
        // There are wheels for this platform only; the benchmark says loudly that it goes without.
        if let Ok(Platform::LinuxX86) = Platform::current() {
            take("--triton", TRITON, triton(layout));
        }
        peers
    }
}

fn triton(layout: &Layout) -> Result<PathBuf> {
    let python = TRITON.python(layout)?;
    customise(&layout.runtime().join(TRITON.folder))?;
    Ok(python)
}

/// Triton runs its models in an interpreter that reads no `PYTHONPATH`, so this has to lie in the environment.
fn customise(venv: &Path) -> Result<()> {
    let lib = venv.join("lib");
    for entry in fs::read_dir(&lib).with_context(|| lib.display().to_string())? {
        let site = entry?.path().join("site-packages");
        if site.is_dir() {
            fs::write(
                site.join("sitecustomize.py"),
                include_str!("../../tests/bench/peers/sitecustomize.py"),
            )?;
        }
    }
    Ok(())
}

fn has(args: &[OsString], name: &str) -> bool {
    args.iter().any(|arg| arg == name)
}

fn named(args: &[OsString]) -> bool {
    has(args, "peers")
}

fn asked(args: &[OsString]) -> bool {
    const OTHERS: [&str; 8] =
        ["limit", "streams", "overload", "parity", "telemetry", "device", "--help", "-h"];
    named(args) || !OTHERS.into_iter().any(|other| has(args, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_a_peer_is_pinned_to_one_version() {
        assert!(MLSERVER.pinned().contains(&"mlserver==1.7.1"));
        assert!(TRITON.pinned().contains(&"nvidia-pytriton==0.7.0"));
    }

    #[test]
    fn peers_are_installed_where_they_are_asked_for_or_everything_is() {
        let asked =
            |line: &str| super::asked(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert!(asked("") && asked("--rounds 3") && asked("limit peers"));
        assert!(!asked("limit --rounds 3") && !asked("telemetry") && !asked("--help"));
        assert!(!asked("device --device cuda"), "it is measured alone");
    }
}
