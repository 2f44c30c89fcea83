//! Helm for the chart's tests, built by Go from its module: the public module proxy has no binaries.
//!
//! The version is pinned, and Go checks what it downloads against the checksum database. Sources and build
//! cache take 1.1 GB while it builds and are removed after it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::layout::Layout;

/// The variable that tells tests which Helm to take.
pub(crate) const HELM_VAR: &str = "XTASK_HELM";
/// Where our own Helm lies, below `.runtime/`.
pub(crate) const HELM: &str = "helm/helm";

const PACKAGE: &str = "helm.sh/helm/v4/cmd/helm@v4.3.1";

/// What is said where there is no Go.
pub(crate) const NO_GO: &str =
    "go is not there, which builds Helm: install Go 1.26 or newer, or set XTASK_HELM to a Helm 4";

/// The Helm that `XTASK_HELM` names, or else ours, built where it is missing; `None` where there is no Go
/// to build it with.
///
/// # Errors
/// One line: the named file is not there, or Go could not build it.
pub(crate) fn helm(layout: &Layout) -> Result<Option<PathBuf>> {
    let theirs = env::var_os(HELM_VAR).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    if let Some(helm) = theirs.filter(|path| *path != layout.configured(HELM)) {
        ensure!(helm.is_file(), "{HELM_VAR} is set to {}, where no file is", helm.display());
        return Ok(Some(std::path::absolute(helm)?));
    }
    let helm = layout.runtime().join(HELM);
    let stamp = layout.runtime().join("helm/.stamp");
    if helm.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == PACKAGE) {
        return Ok(Some(helm));
    }
    let staging = layout.runtime().join(".go");
    // Left behind by an interrupted build.
    remove(&staging)?;
    let built = build("go", &staging).with_context(|| format!("cannot build {PACKAGE}"));
    let placed = match built {
        Ok(Some(binary)) => place(&binary, &helm, &stamp).map(|()| Some(helm)),
        other => other,
    };
    remove(&staging)?;
    placed
}

/// Builds into a folder of its own, which takes Go's caches too: nothing is left outside of it.
fn build(go: &str, staging: &Path) -> Result<Option<PathBuf>> {
    let bin = staging.join("bin");
    let mut install = Command::new(go);
    install
        .args(["install", "-trimpath", "-modcacherw", "-buildvcs=false", "-ldflags=-s -w", PACKAGE])
        .env("GOPATH", staging.join("path"))
        .env("GOMODCACHE", staging.join("modules"))
        .env("GOCACHE", staging.join("cache"))
        .env("GOBIN", &bin)
        // A person's own flags may be for a workspace or a vendor folder that is not here.
        .env_remove("GOFLAGS")
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    eprintln!("building {PACKAGE}, which takes minutes");
    let child = match install.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("cannot start go"),
    };
    let output = child.wait_with_output().context("cannot wait for go")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", explain(&said));
    Ok(Some(bin.join("helm")))
}

/// What went wrong, out of what Go said: its last line that is not about its progress.
fn explain(stderr: &str) -> String {
    let last = stderr.lines().rev().map(str::trim).find(|line| {
        !line.is_empty() && !line.starts_with("go: downloading") && !line.starts_with("go: finding")
    });
    format!("go failed: {}", last.unwrap_or("it did not say why"))
}

fn place(binary: &Path, helm: &Path, stamp: &Path) -> Result<()> {
    if let Some(folder) = helm.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(binary, helm).with_context(|| format!("cannot move Helm to {}", helm.display()))?;
    Ok(fs::write(stamp, PACKAGE)?)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_go_there_is_no_helm_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(build("/nowhere/go", folder.path()).unwrap(), None);
    }

    #[test]
    fn what_go_says_last_is_the_reason() {
        let said =
            "go: downloading a v1\ngo: a@v1 requires go >= 1.26 (running go 1.21)\ngo: downloading b v2\n";
        assert_eq!(explain(said), "go failed: go: a@v1 requires go >= 1.26 (running go 1.21)");
        assert_eq!(explain("go: downloading a v1\n"), "go failed: it did not say why");
    }

    #[test]
    fn a_helm_that_was_built_is_taken_until_another_version_is_pinned() {
        let folder = tempfile::tempdir().unwrap();
        let (binary, helm) = (folder.path().join("built"), folder.path().join(HELM));
        fs::write(&binary, "helm").unwrap();
        place(&binary, &helm, &folder.path().join("helm/.stamp")).unwrap();
        let layout = Layout::of(Path::new("/house"), folder.path());
        assert_eq!(fs::read_to_string(folder.path().join("helm/.stamp")).unwrap(), PACKAGE);
        // A variable that a person has set wins, in which this test could not see ours.
        if env::var_os(HELM_VAR).is_none() {
            assert_eq!(super::helm(&layout).unwrap(), Some(helm));
        }
    }
}
