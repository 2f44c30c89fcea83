//! What can go wrong between a request and its answer. The chassis has the table that makes gRPC codes of it.

use std::time::Duration;

use atelier_package::PackageError;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// An input is not what the graph takes.
    #[error("{field}: {message}")]
    InvalidInput {
        /// The input or parameter.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// No such model is loaded, not in that version, or not of a kind that can do this.
    #[error("there is no model {wanted}; there are: {}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        wanted: String,
        /// `NAME/VERSION` of those that would do.
        known: Vec<String>,
    },
    /// The model has no graph of this name.
    #[error("model {model} has no graph `{graph}`; it has: {}", known.join(", "))]
    UnknownGraph {
        /// The model.
        model: String,
        /// What was asked for.
        graph: String,
        /// The graphs there are.
        known: Vec<String>,
    },
    /// As much is waiting as may wait.
    #[error("the queue is full; try again in {retry_after:?}")]
    QueueFull {
        /// When it is worth trying again, by the recent pace.
        retry_after: Duration,
    },
    /// The deadline passed, or what is waiting already cannot be done before it.
    #[error("the deadline passed, or could not be met")]
    DeadlineExceeded,
    /// The caller went away.
    #[error("cancelled")]
    Cancelled,
    /// The model is being loaded, or its worker rebuilt.
    #[error("the model is not ready: {0}")]
    Loading(String),
    /// The process is going down and takes no more work.
    #[error("shutting down")]
    Draining,
    /// The runtime failed, or we did.
    #[error("{0}")]
    Runtime(String),
    /// A package cannot be loaded.
    #[error("{0}")]
    Package(String),
}

impl EngineError {
    /// An input that is not what it should be.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidInput { field: field.into(), message: message.into() }
    }
}

impl From<PackageError> for EngineError {
    fn from(e: PackageError) -> Self {
        Self::Package(e.to_string())
    }
}
