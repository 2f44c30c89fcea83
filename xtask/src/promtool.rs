//! Prometheus' own judge, for the tests of metrics and alert rules. Not built by us: its module is one of the
//! largest there are, and every distribution has it.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use anyhow::{Result, ensure};

/// The variable that tells tests which promtool to take.
pub(crate) const PROMTOOL_VAR: &str = "XTASK_PROMTOOL";

/// What is said where there is none.
pub(crate) const MISSING: &str = "promtool is not on the path: install Prometheus, with which it comes, or set XTASK_PROMTOOL to a promtool";

/// The promtool that `XTASK_PROMTOOL` names, or else the first on the path; `None` where there is none.
///
/// # Errors
/// One line: the named file is not there.
pub(crate) fn promtool() -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    find(env::var_os(PROMTOOL_VAR).filter(|named| !named.is_empty()), &path)
}

fn find(named: Option<OsString>, path: &OsStr) -> Result<Option<PathBuf>> {
    if let Some(named) = named.map(PathBuf::from) {
        ensure!(named.is_file(), "{PROMTOOL_VAR} is set to {}, where no file is", named.display());
        return Ok(Some(std::path::absolute(named)?));
    }
    Ok(env::split_paths(path).map(|folder| folder.join("promtool")).find(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_one_is_taken_before_that_on_the_path_and_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let (own, path) = (folder.path().join("own"), folder.path().as_os_str());
        assert_eq!(find(None, path).unwrap(), None);
        for file in [&own, &folder.path().join("promtool")] {
            std::fs::write(file, "").unwrap();
        }
        assert_eq!(find(None, path).unwrap(), Some(folder.path().join("promtool")));
        assert_eq!(find(Some(own.clone().into()), path).unwrap(), Some(own));
        let wrong = find(Some("/nowhere/promtool".into()), path).unwrap_err().to_string();
        assert_eq!(wrong, "XTASK_PROMTOOL is set to /nowhere/promtool, where no file is");
    }
}
