//! The client commands: what a caller can ask a fleet for.

pub(crate) mod audio;
pub(crate) mod codec;
pub(crate) mod connection;
mod gallery;
pub(crate) mod image;
mod images;
mod model_arg;
pub(crate) mod models;
mod status;
pub(crate) mod text;

use crate::cli::failure::{Exit, Failure};

/// Runs a client command: one thread is plenty, the work is done elsewhere.
pub(crate) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Other, format!("cannot start: {e}")))?
        .block_on(command)
}
