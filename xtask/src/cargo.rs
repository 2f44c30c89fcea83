//! The cargo that runs the chores, set up with the libraries to use.

use std::{env, path::PathBuf, process::Command};

use crate::layout::Layout;

/// Cargo in the workspace: the one that started this program, or else the one on the path.
pub(crate) fn cargo(layout: &Layout) -> Command {
    let mut cargo = Command::new(program());
    cargo.current_dir(layout.workspace());
    cargo
}

/// The same cargo, in the folder where the user stands.
pub(crate) fn cargo_here() -> Command {
    Command::new(program())
}

fn program() -> PathBuf {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
}
