//! What can be wrong with a package.

use std::io;
use std::path::PathBuf;

/// A field of a manifest that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Where in the manifest, as one would write it: `graph.denoiser.inputs.image.range`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why a package cannot be read or written. Every variant names the file; where one is to blame, the field.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is larger than any honest one.
    #[error("{}: is {bytes} bytes long; at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A file that is not a plain file inside the package's directory.
    #[error("{}: {message}", path.display())]
    NotPlain {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        message: String,
    },
    /// `package.toml` is not TOML, or a key of it is missing, unknown or of the wrong type.
    #[error("{}: line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The line's text, and what is wrong with it.
        message: String,
    },
    /// A field of the manifest or of the golden file says something impossible.
    #[error("{}: {field}: {message}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A graph's bytes are not those the manifest speaks of.
    #[error("{}: sha256 is {actual}, but package.toml says {expected} for graph `{graph}`: damaged or exchanged", path.display())]
    Hash {
        /// The graph's file.
        path: PathBuf,
        /// The graph.
        graph: String,
        /// What `package.toml` says.
        expected: String,
        /// What the file has.
        actual: String,
    },
    /// `golden.safetensors` cannot be read as such.
    #[error("{}: {message}", path.display())]
    Golden {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The package has no graph of this name.
    #[error("{}: there is no graph `{graph}`; there are: {known}", path.display())]
    NoGraph {
        /// The manifest.
        path: PathBuf,
        /// The name asked for.
        graph: String,
        /// The names there are.
        known: String,
    },
    /// There is such a version already.
    #[error("{}: exists already; a version is written once (give the next number, or ask to replace it)", path.display())]
    Exists {
        /// The package's directory.
        path: PathBuf,
    },
}

impl PackageError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn field(path: impl Into<PathBuf>) -> impl FnOnce(FieldError) -> Self {
        let path = path.into();
        move |e| Self::Field { path, field: e.field, message: e.message }
    }
}
