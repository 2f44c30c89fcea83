//! Networks that another run has trained, for a run that builds upon them.

use std::path::{Path, PathBuf};

use tch::Device;

use crate::checkpoint::Checkpoint;
use crate::data::DataError;
use crate::recipe::Family;
use crate::run::RunDir;
use crate::store::Store;

/// A finished or unfinished run: its recipe's family and the averaged weights of its last checkpoint.
pub(super) struct Borrowed {
    path: PathBuf,
    /// How long it was trained.
    pub(super) minutes: f64,
    /// What was trained, with its settings.
    pub(super) family: Family,
    checkpoint: Checkpoint,
}

impl Borrowed {
    /// Reads the run in `path`.
    ///
    /// # Errors
    /// Names the directory or file when there is no run or nothing was saved yet.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let unusable = |message: String| {
            DataError::malformed(path, format!("another run builds upon this one, but {message}"))
        };
        let (run, config) = RunDir::open(path).map_err(|e| unusable(format!("{e:#}")))?;
        let checkpoint = Checkpoint::read(&run.checkpoint()).map_err(|e| unusable(e.to_string()))?;
        let minutes = run.summary().map_err(|e| unusable(format!("{e:#}")))?.minutes;
        Ok(Self { path: path.to_owned(), minutes, family: config.family, checkpoint })
    }

    /// Which weights these are: the run's recipe, and how far it had come.
    pub(super) fn state(&self) -> String {
        format!("{}@{}", self.checkpoint.fingerprint, self.checkpoint.step)
    }

    /// That the run is of another kind than is needed here.
    pub(super) fn unfit(&self, needed: &str) -> DataError {
        DataError::malformed(&self.path, format!("is no run of kind {needed}"))
    }

    /// A network of its own with the run's weights, which stay as they are.
    ///
    /// # Errors
    /// The checkpoint is not of the run's recipe.
    pub(super) fn network<N>(
        &self,
        device: Device,
        build: impl FnOnce(&mut Store) -> N,
    ) -> Result<N, DataError> {
        let mut store = Store::new(0, device);
        let network = build(&mut store);
        self.load(&mut store, "")?;
        Ok(network)
    }

    /// Gives the parameters of `store` whose names start with `prefix` the run's weights for good.
    ///
    /// # Errors
    /// The checkpoint is not of the run's recipe.
    pub(super) fn load(&self, store: &mut Store, prefix: &str) -> Result<(), DataError> {
        let weights = self.checkpoint.group("average", store.device());
        store.freeze(prefix, &weights).map_err(|e| DataError::malformed(&self.path, e.to_string()))
    }
}
