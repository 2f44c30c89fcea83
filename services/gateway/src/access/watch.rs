//! The file of keys, read again when it changes.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::AccessError;
use super::keys::Keys;

/// Looks after a file of keys.
pub(crate) struct Following {
    path: PathBuf,
    period: Duration,
    /// What keys may be for.
    services: BTreeSet<String>,
    seen: Result<String, String>,
    sender: watch::Sender<Arc<Keys>>,
}

impl Following {
    pub(super) fn new(
        path: PathBuf,
        period: Duration,
        services: BTreeSet<String>,
    ) -> Result<(watch::Receiver<Arc<Keys>>, Self), AccessError> {
        let wrong = |problem| AccessError { path: path.clone(), problem };
        let text = read(&path).map_err(wrong)?;
        let keys = parse(&text, &Keys::default(), &services).map_err(wrong)?;
        let (sender, keys) = watch::channel(Arc::new(keys));
        Ok((keys, Self { path, period, services, seen: Ok(text), sender }))
    }

    /// Takes each change that is good, and tells of each that is not; until it is dropped.
    pub(crate) async fn run(mut self) -> Infallible {
        if self.period.is_zero() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.period).await;
            let path = self.path.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || read(&path)).await else { continue };
            self.look(read);
        }
    }

    fn look(&mut self, read: Result<String, String>) {
        if read == self.seen {
            return;
        }
        self.seen.clone_from(&read);
        let before = Arc::clone(&self.sender.borrow());
        match read.and_then(|text| parse(&text, &before, &self.services)) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the file of keys was read again");
                self.sender.send_replace(Arc::new(keys));
            }
            Err(error) => {
                let file = self.path.display();
                // A line of the log, however many the error has.
                let error = error.lines().map(str::trim).collect::<Vec<_>>().join(" ");
                tracing::error!(%file, error, "the file of keys cannot be used, going on with what it said before");
            }
        }
    }
}

fn parse(text: &str, before: &Keys, services: &BTreeSet<String>) -> Result<Keys, String> {
    let keys = Keys::parse(text, before)?;
    keys.name_only(services)?;
    Ok(keys)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}
