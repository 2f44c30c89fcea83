//! Certificates that are replaced while a process runs.
//!
//! Their content is looked at, not their time: a mounted secret is a link that moves to another directory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::TlsError;

/// Says which files, and what is made of them.
pub trait Source: Clone + Send + 'static {
    /// The files as they were when they were read.
    type Files: Clone + PartialEq + Send;
    /// What rustls makes of them.
    type Made: Send + Sync + 'static;
    /// The section of the configuration, for log lines.
    const SECTION: &'static str;

    /// How often the files are looked at; zero for never.
    fn period(&self) -> Duration;

    /// Reads them; `None` where none are configured.
    ///
    /// # Errors
    /// The field whose file cannot be read.
    fn read(&self) -> Result<Option<Self::Files>, TlsError>;

    /// Makes what connections need.
    ///
    /// # Errors
    /// The field whose file is of no use.
    fn make(files: &Self::Files) -> Result<Arc<Self::Made>, TlsError>;
}

/// Certificates that were read and found good, and what looks after their files.
pub struct Renewal<S: Source> {
    source: S,
    seen: Result<Option<S::Files>, TlsError>,
    current: watch::Sender<Arc<S::Made>>,
}

impl<S: Source> std::fmt::Debug for Renewal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("section", &S::SECTION).finish_non_exhaustive()
    }
}

impl<S: Source> Renewal<S> {
    pub(super) fn new(source: S, files: S::Files) -> Result<Self, TlsError> {
        let current = watch::Sender::new(S::make(&files)?);
        Ok(Self { source, seen: Ok(Some(files)), current })
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// What is newest, whenever it is asked for.
    pub(super) fn current(&self) -> watch::Receiver<Arc<S::Made>> {
        self.current.subscribe()
    }

    /// What has changed since it last looked; each change is told once.
    fn look(&mut self) -> Option<Result<Arc<S::Made>, TlsError>> {
        let read = self.source.read();
        if read == self.seen {
            return None;
        }
        self.seen = read.clone();
        read.and_then(|files| files.map(|files| S::make(&files)).transpose()).transpose()
    }

    /// Takes what is new and good, until it is dropped.
    pub async fn run(mut self) {
        let period = self.source.period();
        if period.is_zero() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(period).await;
            // A file on a network's disk may take its time.
            let looked = tokio::task::spawn_blocking(move || {
                let change = self.look();
                (self, change)
            });
            let Ok((back, change)) = looked.await else {
                tracing::error!("the files for TLS can no longer be looked at, going on with what there is");
                return std::future::pending().await;
            };
            self = back;
            match change {
                None => {}
                Some(Ok(made)) => {
                    self.current.send_replace(made);
                    tracing::info!(section = S::SECTION, "the certificates were replaced");
                }
                Some(Err(error)) => {
                    let field = format!("{}.{}", S::SECTION, error.field);
                    tracing::error!(
                        field,
                        error = error.problem,
                        "the new certificates cannot be used, going on with the old ones"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
