//! Python environments of their own, with pinned packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{layout::Layout, pip};

/// An environment below `.runtime/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Venv {
    /// Its folder.
    pub(crate) folder: &'static str,
    /// What is in it, for people.
    pub(crate) title: &'static str,
    /// The pinned packages, as pip reads them; also the stamp of a finished environment.
    pub(crate) requirements: &'static str,
}

impl Venv {
    /// Its Python; makes the environment where it is missing or out of date.
    ///
    /// # Errors
    /// One line: Python, its venv module, pip, network or disk is missing.
    pub(crate) fn python(self, layout: &Layout) -> Result<PathBuf> {
        let Self { folder, title, requirements } = self;
        let venv = layout.runtime().join(folder);
        let stamp = venv.join(".stamp");
        let python = venv.join("bin/python");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == requirements) && python.exists() {
            return Ok(python);
        }

        eprintln!("making the Python environment of {title} in {}", venv.display());
        // An environment cannot be moved once made, so it is made in place and stamped last.
        make(&venv).with_context(|| format!("cannot make {}", venv.display()))?;
        let list = venv.join("requirements.txt");
        fs::write(&list, requirements)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--only-binary=:all:", "--requirement"]).arg(&list);
        pip::run(&mut install).with_context(|| format!("cannot install {title}"))?;
        fs::write(&stamp, requirements)?;
        Ok(python)
    }

    #[cfg(test)]
    pub(crate) fn pinned(self) -> Vec<&'static str> {
        let lines = self.requirements.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.inspect(|line| assert_eq!(line.matches("==").count(), 1, "{line}")).collect()
    }
}

fn make(venv: &Path) -> Result<()> {
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
