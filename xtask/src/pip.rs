//! Wheels through pip, so that the user's own index, proxy and certificates are honoured.

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{download::Download, wheel::Wheel};

/// The pip of the `python3` on the path.
pub(crate) struct Pip;

impl Download for Pip {
    fn download(&self, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
        let requirement = wheel.requirement();
        eprintln!("getting {requirement} for {}", wheel.platform);
        let mut pip = python();
        pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
            .args(wheel.pip_options())
            .arg("--dest")
            .arg(folder)
            .arg(&requirement)
            // pip writes to a temporary file first: on the disk that has room for the rest too.
            .env("TMPDIR", folder);
        run(&mut pip).with_context(|| format!("cannot download {requirement}"))?;
        only_wheel_in(folder).with_context(|| format!("pip brought no single file for {requirement}"))
    }
}

/// `python3`, whichever comes first on the path.
pub(crate) fn python() -> Command {
    Command::new("python3")
}

/// Runs pip with its progress shown where somebody looks on, and turns a failure into one line.
///
/// # Errors
/// One line that says what is missing: Python, pip, network, disk, or the wheel itself.
pub(crate) fn run(pip: &mut Command) -> Result<()> {
    if !io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    pip.args(["--disable-pip-version-check", "--no-input"]);
    let spawned = pip.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped()).spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("python3 is not there: install Python 3 with pip (Debian: apt-get install python3-pip)")
        }
        Err(error) => return Err(error).context("cannot start python3"),
    };
    let output = child.wait_with_output().context("cannot wait for pip")?;
    ensure!(output.status.success(), "{}", explain(&String::from_utf8_lossy(&output.stderr)));
    Ok(())
}

/// One line for the person, from what pip or Python said on its way out.
pub(crate) fn explain(stderr: &str) -> String {
    const UNREACHABLE: [&str; 6] = [
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "SSLError",
    ];
    let last = |prefix: &str| stderr.lines().rev().map(str::trim).find(|line| line.starts_with(prefix));
    if stderr.contains("No module named pip") {
        return "python3 has no pip: install it (Debian: apt-get install python3-pip)".into();
    }
    if stderr.contains("ensurepip is not available") || stderr.contains("No module named ensurepip") {
        return "python3 cannot make environments: install venv (Debian: apt-get install python3-venv)"
            .into();
    }
    if stderr.contains("No space left on device") {
        return "the disk is full".into();
    }
    if let Some(sign) = UNREACHABLE.into_iter().find(|sign| stderr.contains(sign)) {
        return format!(
            "pip cannot reach its package index ({sign}): check network, proxy and pip's settings"
        );
    }
    if stderr.contains("No matching distribution found") {
        return "pip's package index does not have this file; is it a full index?".into();
    }
    let said = last("ERROR:").or_else(|| stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()));
    format!("pip failed: {}", said.unwrap_or("it did not say why"))
}

fn only_wheel_in(folder: &Path) -> Option<PathBuf> {
    let mut wheels = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheels.next()?;
    wheels.next().is_none().then_some(wheel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        let cases = [
            ("/usr/bin/python3: No module named pip\n", "has no pip"),
            ("... ensurepip is not available. On Debian/Ubuntu systems ...", "python3-venv"),
            (
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('x')'\n\
              ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)\n\
              ERROR: No matching distribution found for a==1\n",
                "cannot reach its package index",
            ),
            ("ERROR: No matching distribution found for a==1\n", "does not have this file"),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
                "disk is full",
            ),
            ("WARNING: w\nERROR: something new\n\n", "pip failed: ERROR: something new"),
            ("Traceback\n  File x\nValueError: y\n", "pip failed: ValueError: y"),
            ("", "did not say why"),
        ];
        for (stderr, expected) in cases {
            let line = explain(stderr);
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_python_that_is_not_there_is_named() {
        let message = format!("{:#}", run(&mut Command::new("/nowhere/python3")).unwrap_err());
        assert!(message.starts_with("python3 is not there"), "{message}");
    }

    #[test]
    fn one_wheel_is_found_and_two_are_not_guessed_between() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(only_wheel_in(folder.path()), None);
        let wheel = folder.path().join("a.whl");
        fs::write(&wheel, "").unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(only_wheel_in(folder.path()), Some(wheel));
        fs::write(folder.path().join("b.whl"), "").unwrap();
        assert_eq!(only_wheel_in(folder.path()), None);
    }
}
