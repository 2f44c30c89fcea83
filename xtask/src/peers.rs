//! The servers that `cargo xtask bench peers` measures beside ours, each in a Python environment of its own: they
//! do not agree on what they need.

use std::{ffi::OsString, fs, path::Path};

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

/// The options that tell the benchmark where the peers are, where these arguments of it ask for them: by name, or
/// by asking for everything.
///
/// # Errors
/// One line: what is missing to install them.
pub(crate) fn options(layout: &Layout, args: &[OsString]) -> Result<Vec<OsString>> {
    if !asked(args) {
        return Ok(Vec::new());
    }
    let mut options = vec!["--mlserver".into(), MLSERVER.python(layout)?.into()];
    // There are wheels for this platform only; the benchmark says loudly that it goes without.
    if let Ok(Platform::LinuxX86) = Platform::current() {
        let python = TRITON.python(layout)?;
        customise(&layout.runtime().join(TRITON.folder))?;
        options.extend(["--triton".into(), python.into()]);
    }
    Ok(options)
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

fn asked(args: &[OsString]) -> bool {
    const OTHERS: [&str; 5] = ["limit", "streams", "overload", "parity", "telemetry"];
    let has = |name: &str| args.iter().any(|arg| arg == name);
    has("peers") || !(has("--help") || has("-h") || OTHERS.into_iter().any(has))
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
    }
}
