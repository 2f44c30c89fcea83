//! Where things lie: the workspace, and the ignored folder for what is fetched.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The variable that moves the folder for fetched things away from `.runtime/`.
const RUNTIME_VAR: &str = "ATELIER_RUNTIME";

/// The two folders everything else is relative to; both absolute.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    workspace: PathBuf,
    runtime: PathBuf,
}

impl Layout {
    /// The layout of the workspace that this program was started in.
    ///
    /// # Errors
    /// Where the current folder cannot be told, which only a relative `ATELIER_RUNTIME` needs.
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets it at run time too; the built-in value is for starting the binary directly.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest = PathBuf::from(manifest);
        let workspace = manifest.parent().context("the xtask folder has no parent")?;
        let runtime = runtime_folder(workspace, env::var_os(RUNTIME_VAR));
        Ok(Self {
            workspace: workspace.to_owned(),
            runtime: std::path::absolute(&runtime).with_context(|| format!("{RUNTIME_VAR}: no such path"))?,
        })
    }

    /// The root of the workspace.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The folder for everything fetched.
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The shipped packages.
    pub(crate) fn models(&self) -> PathBuf {
        self.workspace.join("models")
    }

    /// What `.cargo/config.toml` sets a variable to, for a path given relative to the workspace.
    pub(crate) fn configured(&self, relative: &str) -> PathBuf {
        self.workspace.join(".runtime").join(relative)
    }

    #[cfg(test)]
    pub(crate) fn of(workspace: &Path, runtime: &Path) -> Self {
        Self { workspace: workspace.to_owned(), runtime: runtime.to_owned() }
    }
}

fn runtime_folder(workspace: &Path, asked: Option<OsString>) -> PathBuf {
    match asked {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => workspace.join(".runtime"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetched_things_lie_in_the_workspace_unless_the_variable_moves_them() {
        let workspace = Path::new("/house");
        assert_eq!(runtime_folder(workspace, None), Path::new("/house/.runtime"));
        assert_eq!(runtime_folder(workspace, Some("".into())), Path::new("/house/.runtime"));
        assert_eq!(runtime_folder(workspace, Some("/big/disk".into())), Path::new("/big/disk"));
    }

    #[test]
    fn cargo_config_and_layout_agree_on_where_the_libraries_lie() {
        let config = include_str!("../../.cargo/config.toml");
        let layout = Layout::of(Path::new("/house"), Path::new("/elsewhere"));
        let relatives = [
            crate::runtime::ONNXRUNTIME_LIBRARY,
            crate::runtime::LIBTORCH,
            crate::judges::PYTHON,
            crate::helm::HELM.path,
            crate::ghz::GHZ.path,
        ];
        for relative in relatives {
            assert!(config.contains(&format!("\".runtime/{relative}\"")), "{relative}");
            assert_eq!(layout.configured(relative), Path::new("/house/.runtime").join(relative));
        }
    }
}
