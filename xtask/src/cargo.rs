//! The cargo that runs the chores, set up with the libraries to use.

use std::{env, path::PathBuf, process::Command};

use crate::layout::Layout;

/// Cargo in the workspace: the one that started this program, or else the one on the path.
pub(crate) fn cargo(layout: &Layout) -> Command {
    let mut cargo = cargo_here();
    cargo.current_dir(layout.workspace());
    cargo
}

/// The same cargo, in the folder where the user stands.
pub(crate) fn cargo_here() -> Command {
    let mut cargo = Command::new(program());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_a_package)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Whether it is by this variable that cargo tells a program which package it is of. Build scripts that look at it, as
/// ring's does, would be run anew, and all that depends on them built, whenever a chore comes after a plain `cargo build`
/// or the other way round.
fn is_of_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
}

fn program() -> PathBuf {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_does_not_hear_of_which_package_its_caller_is() {
        // Cargo says it to its tests too.
        assert!(env::var_os("CARGO_PKG_NAME").is_some() && env::var_os("CARGO_MANIFEST_DIR").is_some());
        let cargo = cargo_here();
        let hidden: Vec<_> =
            cargo.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for name in ["CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR", "CARGO_MANIFEST_DIR"] {
            assert!(hidden.contains(&name.as_ref()), "{name}: {hidden:?}");
        }
        assert!(!hidden.contains(&"PATH".as_ref()));
    }
}
