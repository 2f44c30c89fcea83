//! Packages that come and go below the models directory while the process serves.

mod survey;

use std::path::PathBuf;
use std::time::Duration;

use atelier_engine::Engine;
use atelier_package::{Kind, Repository};
use tokio::task::JoinHandle;

use survey::{Change, Found, Id, Survey};

/// What is looked after.
#[derive(Debug)]
pub(super) struct Reload {
    directory: PathBuf,
    kinds: Vec<Kind>,
    period: Option<Duration>,
    grace: Duration,
    /// What was there before anything was loaded.
    before: Found,
}

impl Reload {
    /// To be made before the packages are loaded: what comes meanwhile is new.
    ///
    /// `kinds` are those that are served here, others are passed over; `period` is how often the directory is
    /// looked at (`None`: never), and `grace` how long those may take who still use a model that is gone.
    pub(super) fn new(
        directory: PathBuf,
        kinds: Vec<Kind>,
        period: Option<Duration>,
        grace: Duration,
    ) -> Self {
        // A directory that cannot be read is said where the packages are loaded.
        let before = survey::list(&directory).unwrap_or_default();
        Self { directory, kinds, period, grace, before }
    }

    /// Serves what comes and no longer what goes, until the task is aborted. A package that cannot be served is
    /// logged, once, and changes nothing else.
    pub(super) fn follow(mut self, engine: Engine) -> Option<JoinHandle<()>> {
        let period = self.period?;
        Some(tokio::spawn(async move {
            let served: Vec<Id> =
                engine.models().iter().map(|model| (model.name().clone(), model.version())).collect();
            let mut survey = Survey::new(std::mem::take(&mut self.before), &served);
            loop {
                tokio::time::sleep(period).await;
                self.look(&engine, &mut survey).await;
            }
        }))
    }

    async fn look(&self, engine: &Engine, survey: &mut Survey) {
        let directory = self.directory.clone();
        let found = match blocking(move || survey::list(&directory)).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                // A volume that is away for a moment is no reason to serve nothing.
                tracing::warn!(directory = %self.directory.display(), %error, "the models directory cannot be read");
                return;
            }
            None => return,
        };
        for change in survey.compare(found) {
            match change {
                Change::Load(id) => {
                    // It may have come while the packages were loaded that were there at the start.
                    let served = serves(engine, &id) || self.load(engine, &id).await;
                    survey.tried(&id, served);
                }
                Change::Retire((name, version)) => {
                    if let Err(error) = engine.retire(&name, version, self.grace).await {
                        tracing::warn!(model = %name, %version, %error, "a package is gone");
                    }
                }
                Change::Last((name, version)) => {
                    tracing::error!(model = %name, %version, "the last package is gone; its model is served on");
                }
                Change::Forget((name, version)) => engine.forget(&name, version),
                Change::Altered((name, version)) => {
                    let message = "a package that is served was altered; what was loaded is served on: \
                                   give what is new a new version";
                    tracing::warn!(model = %name, %version, message);
                }
            }
        }
    }

    /// Whether it is served now.
    async fn load(&self, engine: &Engine, id: &Id) -> bool {
        let (engine, directory, kinds, id) =
            (engine.clone(), self.directory.clone(), self.kinds.clone(), id.clone());
        let load = move || {
            let (name, version) = &id;
            // What was said of it before it changed holds no longer.
            engine.forget(name, *version);
            let package = match Repository::open(&directory, name, *version) {
                Ok(package) => package,
                Err(error) => {
                    tracing::error!(model = %name, %version, %error, "a new package is damaged and left out");
                    return false;
                }
            };
            let kind = package.manifest().kind;
            if !kinds.contains(&kind) {
                tracing::info!(model = %name, %version, %kind, "a new package is of a kind that is not served here");
                return false;
            }
            match engine.add(&package) {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(model = %name, %version, %error, "a new package cannot be loaded");
                    false
                }
            }
        };
        blocking(load).await.unwrap_or(false)
    }
}

fn serves(engine: &Engine, (name, version): &Id) -> bool {
    engine.models().iter().any(|model| model.name() == name && model.version() == *version)
}

/// Not on a thread that others are served by; `None` where it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work)
        .await
        .inspect_err(|error| tracing::error!(%error, "looking for models broke off"))
        .ok()
}
