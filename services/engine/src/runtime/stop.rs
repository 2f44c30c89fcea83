//! Ends a run from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ort::session::RunOptions;

use super::cuda_graph;

/// How long the end of runs is waited for that were told to stop.
pub(crate) const LAST_RUN: Duration = Duration::from_secs(3);

/// Stops the run of a [`Runner`](super::session::Runner) from another thread.
pub(crate) trait Stop: Send + Sync {
    /// The run that is under way, or else the next one, ends in an error as soon as it can: ONNX Runtime looks
    /// between the nodes of a graph.
    fn stop(&self);

    /// Lets runs go on again. Returns whether they were stopped.
    fn reset(&self) -> bool;
}

/// [`Stop`] by the options of a session's runs.
pub(super) struct StopOptions {
    /// Those of all runs that are not replayed.
    pub(super) options: RunOptions,
    /// Those of runs that are replayed, each of its own.
    replayed: Mutex<Vec<Arc<RunOptions>>>,
    stopped: AtomicBool,
}

impl StopOptions {
    /// For a session that can be `replayed` or not.
    pub(super) fn new(replayed: bool) -> Result<Self, ort::Error> {
        let mut options = RunOptions::new()?;
        if replayed {
            cuda_graph::unrecorded(&mut options)?;
        }
        Ok(Self { options, replayed: Mutex::default(), stopped: AtomicBool::new(false) })
    }

    fn each(&self, change: impl Fn(&RunOptions) -> Result<(), ort::Error>) -> Result<(), ort::Error> {
        let replayed = self.replayed.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.options).chain(replayed.iter().map(AsRef::as_ref)).try_for_each(change)
    }

    /// Options for runs that are replayed, of a recording of their own.
    pub(super) fn recorded(&self) -> Result<Arc<RunOptions>, ort::Error> {
        let mut replayed = self.replayed.lock().unwrap_or_else(PoisonError::into_inner);
        let options = Arc::new(cuda_graph::recorded(replayed.len())?);
        if self.stopped.load(Ordering::Acquire) {
            options.terminate()?;
        }
        replayed.push(Arc::clone(&options));
        Ok(options)
    }
}

impl Stop for StopOptions {
    fn stop(&self) {
        match self.each(RunOptions::terminate) {
            Ok(()) => self.stopped.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, "a run cannot be stopped"),
        }
    }

    fn reset(&self) -> bool {
        let stopped = self.stopped.swap(false, Ordering::AcqRel);
        if stopped && let Err(error) = self.each(RunOptions::unterminate) {
            tracing::error!(%error, "a session cannot be used again after a run was stopped");
        }
        stopped
    }
}
