//! From a directory of packages to an engine that serves them.

use std::path::{Path, PathBuf};

use atelier_engine::{Config as EngineConfig, Engine, Runtime};
use atelier_package::{Kind, Package, Repository};

use crate::cli::failure::{Exit, Failure};

/// Packages that were found whole, and how to run them.
#[derive(Debug)]
pub(super) struct Stock {
    directory: PathBuf,
    packages: Vec<Package>,
    engine: EngineConfig,
}

impl Stock {
    /// Loads the runtime and opens the packages of these kinds. A package that is damaged is logged and
    /// left out.
    ///
    /// # Errors
    /// `CannotServe`: no runtime, no directory, or nothing in it that can be served.
    pub(super) async fn open(
        directory: PathBuf,
        kinds: Vec<Kind>,
        engine: EngineConfig,
    ) -> Result<Self, Failure> {
        blocking(move || {
            let repository = Repository::scan(&directory).map_err(|e| {
                let message = format!("the models directory cannot be read: {e}; name it with --models");
                Failure::new(Exit::CannotServe, message)
            })?;
            let packages = choose(&repository, &kinds);
            if packages.is_empty() {
                return Err(nothing(&directory, &kinds, repository.rejected().len()));
            }
            Runtime::load(engine.runtime.as_deref())
                .map_err(|e| Failure::new(Exit::CannotServe, e.to_string()))?;
            Ok(Self { directory, packages, engine })
        })
        .await
    }

    /// Loads them: opens sessions and checks every graph against its golden outputs. Takes seconds.
    ///
    /// # Errors
    /// `CannotServe`: the runtime or the device cannot be had, or no package could be loaded.
    pub(super) async fn load(self) -> Result<Engine, Failure> {
        blocking(move || {
            let failed = |message: String| Failure::new(Exit::CannotServe, message);
            let engine = Engine::load(&self.engine, &self.packages).map_err(|e| failed(e.to_string()))?;
            match (&engine.models()[..], &engine.not_loaded()[..]) {
                ([], [first, ..]) => Err(failed(format!(
                    "no package of {} could be loaded; the first, {}/{}: {}",
                    self.directory.display(),
                    first.name,
                    first.version,
                    first.error
                ))),
                _ => Ok(engine),
            }
        })
        .await
    }
}

/// The packages of these kinds; says what is left out, and why.
fn choose(repository: &Repository, kinds: &[Kind]) -> Vec<Package> {
    for rejected in repository.rejected() {
        tracing::error!(path = %rejected.path.display(), error = %rejected.error, "a package is damaged and left out");
    }
    let (ours, others): (Vec<&Package>, Vec<&Package>) =
        repository.all().partition(|package| kinds.contains(&package.manifest().kind));
    for package in others {
        let (model, version, kind) = (package.name(), package.version(), package.manifest().kind);
        tracing::info!(%model, %version, %kind, "a package is of a kind that is not served here");
    }
    ours.into_iter().cloned().collect()
}

fn nothing(directory: &Path, kinds: &[Kind], damaged: usize) -> Failure {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let damaged = match damaged {
        0 => String::new(),
        n => format!("; {n} damaged, see the log"),
    };
    let message = format!(
        "there is no package to serve below {}: NAME/VERSION/package.toml of kind {}{damaged}",
        directory.display(),
        kinds.join(" or ")
    );
    Failure::new(Exit::CannotServe, message)
}

/// Not on a thread that others are served by.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new(Exit::CannotServe, format!("loading the models broke off: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Failure {
        let open = Stock::open(directory.to_owned(), vec![Kind::CharRnn], EngineConfig::default());
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open).unwrap_err()
    }

    #[test]
    fn a_directory_that_is_not_there_or_holds_nothing_is_said_in_one_line() {
        let failed = open(Path::new("/nowhere/models"));
        assert_eq!(failed.exit(), Exit::CannotServe);
        assert!(failed.to_string().contains("/nowhere/models"), "{failed}");

        let directory = tempfile::tempdir().unwrap();
        let failed = open(directory.path());
        assert!(failed.to_string().ends_with("package.toml of kind char-rnn"), "{failed}");

        std::fs::create_dir_all(directory.path().join("bard/1")).unwrap();
        let failed = open(directory.path());
        assert!(failed.to_string().ends_with("1 damaged, see the log"), "{failed}");
    }
}
