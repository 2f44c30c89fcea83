//! Data sets, read in the layouts that their own users know.

pub mod catalogue;
pub mod digits;
pub mod faces;
pub mod fashion;
pub mod fetch;
pub mod holes;
pub mod idx;
pub mod nasa;
pub mod nuclei;
pub mod tar;
pub mod text;

use std::path::{Path, PathBuf};

/// A data set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        message: String,
    },
}

impl DataError {
    pub(crate) fn malformed(path: &Path, message: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), message: message.into() }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
}
