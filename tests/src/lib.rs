//! The fleet as a whole, from outside: the real program with the shipped models, as a process on ephemeral
//! ports of loopback, called over real sockets.
//!
//! The tests are in `tests/fleet/`, one file for each group of behaviours; here is what they share: the
//! [program](mod@program), a [fleet](Fleet) of it, [clients](client), [pictures], [packages](models) to damage
//! and the [Python](python) of the outside judges.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "all of this is called by tests, which fail by panicking"
)]

pub mod client;
pub mod models;
pub mod pictures;
pub mod program;
pub mod python;

mod fleet;
mod log;
mod start;

pub use fleet::Fleet;
pub use log::Log;
pub use start::Start;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The shipped packages.
pub fn shipped() -> PathBuf {
    workspace().join("models")
}
