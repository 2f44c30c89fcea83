//! What is logged, while the process runs.

use tracing_subscriber::{EnvFilter, Registry, reload};

use super::TelemetryError;

/// The filter of the process's log lines and spans. Clones share it.
#[derive(Debug, Clone)]
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogFilter {
    pub(super) fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self { handle }
    }

    /// What it is, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub fn current(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Sets it, from now on.
    ///
    /// # Errors
    /// `Filter` where it is malformed; it stays as it was then.
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        let fresh = parse(filter)?;
        // Gone only with the subscriber, and with it everything that could be logged.
        let _ = self.handle.reload(fresh);
        Ok(())
    }
}

pub(super) fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}
