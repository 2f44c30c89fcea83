//! A Python environment of its own for the tests' outside judges, such as the ONNX checker.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{layout::Layout, pip};

/// The variable that tells tests which Python has the judges.
pub(crate) const PYTHON_VAR: &str = "ATELIER_PYTHON";
/// The environment's Python, below `.runtime/`.
pub(crate) const PYTHON: &str = "venv/bin/python";

/// The pinned packages; also the stamp of a finished environment.
const REQUIREMENTS: &str = include_str!("../judges.txt");

/// The Python that has the judges; makes the environment where it is missing or out of date.
///
/// # Errors
/// One line: Python, its venv module, pip, network or disk is missing.
pub(crate) fn python(layout: &Layout) -> Result<PathBuf> {
    let venv = layout.runtime().join("venv");
    let stamp = venv.join(".stamp");
    let python = layout.runtime().join(PYTHON);
    if fs::read_to_string(&stamp).is_ok_and(|made| made == REQUIREMENTS) && python.exists() {
        return Ok(python);
    }

    eprintln!("making the tests' Python environment in {}", venv.display());
    // An environment cannot be moved once made, so it is made in place and stamped last.
    make(&venv).with_context(|| format!("cannot make {}", venv.display()))?;
    let requirements = venv.join("judges.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--only-binary=:all:", "--requirement"]).arg(&requirements);
    pip::run(&mut install).context("cannot install the tests' judges")?;
    fs::write(&stamp, REQUIREMENTS)?;
    Ok(python)
}

fn make(venv: &PathBuf) -> Result<()> {
    if let Some(parent) = venv.parent() {
        fs::create_dir_all(parent)?;
    }
    let made = pip::python().args(["-m", "venv", "--clear"]).arg(venv).stdin(Stdio::null()).output();
    let output = match made {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("python3 is not there: install Python 3 with venv (Debian: apt-get install python3-venv)")
        }
        Err(error) => return Err(error).context("cannot start python3"),
    };
    // venv says some of what is wrong on its standard output.
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", pip::explain(&String::from_utf8_lossy(&said)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_judge_is_pinned_to_one_version() {
        let lines: Vec<_> =
            REQUIREMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(lines.iter().any(|line| line.starts_with("onnx==")));
        assert!(lines.iter().all(|line| line.matches("==").count() == 1), "{lines:?}");
    }
}
