//! Programs that Go builds from their modules: the public module proxy has no binaries.
//!
//! Versions are pinned, and Go checks what it downloads against the checksum database. Sources and build
//! cache, a gigabyte for Helm, are removed after the build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::layout::Layout;

/// A program and the version of it that is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoProgram {
    /// The package with its version, as `go install` takes it.
    pub(crate) package: &'static str,
    /// What the binary is called.
    pub(crate) binary: &'static str,
    /// Where ours lies, below `.runtime/`.
    pub(crate) path: &'static str,
    /// The variable that names another one to take.
    pub(crate) variable: &'static str,
}

impl GoProgram {
    /// The one that the variable names, or else ours, built where it is missing; `None` where there is no Go
    /// to build it with.
    ///
    /// # Errors
    /// One line: the named file is not there, or Go could not build it.
    pub(crate) fn get(&self, layout: &Layout) -> Result<Option<PathBuf>> {
        let theirs = env::var_os(self.variable).map(PathBuf::from);
        let theirs = theirs.filter(|path| !path.as_os_str().is_empty());
        if let Some(binary) = theirs.filter(|path| *path != layout.configured(self.path)) {
            ensure!(binary.is_file(), "{} is set to {}, where no file is", self.variable, binary.display());
            return Ok(Some(std::path::absolute(binary)?));
        }
        let binary = layout.runtime().join(self.path);
        let stamp = binary.with_file_name(".stamp");
        if binary.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == self.package) {
            return Ok(Some(binary));
        }
        let staging = layout.runtime().join(".go");
        // Left behind by an interrupted build.
        remove(&staging)?;
        let built = self.build("go", &staging).with_context(|| format!("cannot build {}", self.package));
        let placed = match built {
            Ok(Some(built)) => self.place(&built, &binary).map(|()| Some(binary)),
            other => other,
        };
        remove(&staging)?;
        placed
    }

    /// Builds into a folder of its own, which takes Go's caches too: nothing is left outside of it.
    fn build(&self, go: &str, staging: &Path) -> Result<Option<PathBuf>> {
        let bin = staging.join("bin");
        let mut install = Command::new(go);
        install
            .args(["install", "-trimpath", "-modcacherw", "-buildvcs=false", "-ldflags=-s -w", self.package])
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
        eprintln!("building {}, which takes minutes", self.package);
        let child = match install.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot start go"),
        };
        let output = child.wait_with_output().context("cannot wait for go")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", explain(&said));
        Ok(Some(bin.join(self.binary)))
    }

    fn place(&self, built: &Path, binary: &Path) -> Result<()> {
        if let Some(folder) = binary.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(built, binary)
            .with_context(|| format!("cannot move {} to {}", self.binary, binary.display()))?;
        Ok(fs::write(binary.with_file_name(".stamp"), self.package)?)
    }
}

/// What went wrong, out of what Go said: its last line that is not about its progress.
fn explain(stderr: &str) -> String {
    let last = stderr.lines().rev().map(str::trim).find(|line| {
        !line.is_empty() && !line.starts_with("go: downloading") && !line.starts_with("go: finding")
    });
    format!("go failed: {}", last.unwrap_or("it did not say why"))
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

    const PROGRAM: GoProgram = GoProgram {
        package: "example.org/some@v1",
        binary: "some",
        path: "some/some",
        variable: "XTASK_NO_SUCH_PROGRAM",
    };

    #[test]
    fn without_go_there_is_no_program_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(PROGRAM.build("/nowhere/go", folder.path()).unwrap(), None);
    }

    #[test]
    fn what_go_says_last_is_the_reason() {
        let said =
            "go: downloading a v1\ngo: a@v1 requires go >= 1.26 (running go 1.21)\ngo: downloading b v2\n";
        assert_eq!(explain(said), "go failed: go: a@v1 requires go >= 1.26 (running go 1.21)");
        assert_eq!(explain("go: downloading a v1\n"), "go failed: it did not say why");
    }

    #[test]
    fn a_program_that_was_built_is_taken_until_another_version_is_pinned() {
        let folder = tempfile::tempdir().unwrap();
        let (built, binary) = (folder.path().join("built"), folder.path().join(PROGRAM.path));
        fs::write(&built, "some").unwrap();
        PROGRAM.place(&built, &binary).unwrap();
        let layout = Layout::of(Path::new("/house"), folder.path());
        assert_eq!(fs::read_to_string(folder.path().join("some/.stamp")).unwrap(), PROGRAM.package);
        assert_eq!(PROGRAM.get(&layout).unwrap(), Some(binary));
    }
}
