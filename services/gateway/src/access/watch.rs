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
    /// What was believed last.
    seen: Result<String, String>,
    /// What it read as at the last look.
    last: Result<String, String>,
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
        if keys.len() == 0 {
            let problem = "holds no [[key]], and so nobody could call; `atelier keys new` prints one";
            return Err(wrong(problem.to_owned()));
        }
        let (sender, keys) = watch::channel(Arc::new(keys));
        let seen: Result<_, String> = Ok(text);
        Ok((keys, Self { path, period, services, last: seen.clone(), seen, sender }))
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
        // Whoever writes a file anew may have it empty or half written for a moment: what is new is believed when two
        // looks in a row read the same.
        let last = std::mem::replace(&mut self.last, read.clone());
        if read == self.seen || read != last {
            return;
        }
        let before = Arc::clone(&self.sender.borrow());
        let keys = read.clone().and_then(|text| parse(&text, &before, &self.services));
        self.seen = read;
        let file = self.path.display();
        match keys {
            Ok(keys) => {
                match keys.len() {
                    0 => tracing::warn!(%file, "the file of keys holds no [[key]] any more: nobody may call"),
                    keys => tracing::info!(keys, "the file of keys was read again"),
                }
                self.sender.send_replace(Arc::new(keys));
            }
            Err(error) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc" and of "b".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

    fn following(text: &str) -> Result<(watch::Receiver<Arc<Keys>>, Following), AccessError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Following::new(file.path().to_owned(), Duration::ZERO, BTreeSet::new())
    }

    #[test]
    fn a_file_without_a_key_lets_it_in_no_more_once_two_looks_in_a_row_read_the_same() {
        let key = |hash: &str| format!("[[key]]\nname = \"a\"\nsha256 = \"{hash}\"\n");
        // Emptied, and cut off after what is a whole file too.
        let [b, abc] = [B, ABC].map(key);
        let both = format!("{b}{}", abc.replace("\"a\"", "\"c\""));
        for without in ["", "# nobody\n", &b] {
            let (keys, mut following) = following(&both).unwrap();
            let looks = [without, &both, without, "damaged", without, without, "damaged", &both, &both];
            let comes_in = looks.map(|read| {
                following.look(Ok(read.to_owned()));
                keys.borrow().find("abc").is_some()
            });
            assert_eq!(comes_in, [true, true, true, true, true, false, false, false, true], "{without:?}");
        }
    }

    #[test]
    fn a_file_without_keys_is_refused_at_the_start() {
        let refused = following("").map(|_| ()).unwrap_err();
        assert!(refused.problem.starts_with("holds no [[key]]"), "{refused}");
    }
}
