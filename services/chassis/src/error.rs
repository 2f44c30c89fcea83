//! The one table that maps what happened to a gRPC code and its details.
//!
//! | what happened | code | detail |
//! | --- | --- | --- |
//! | [`Invalid`](ServiceError::Invalid) | INVALID_ARGUMENT | `BadRequest` with the field |
//! | [`NotFound`](ServiceError::NotFound) | NOT_FOUND | `ResourceInfo` with what exists |
//! | [`Busy`](ServiceError::Busy) | RESOURCE_EXHAUSTED | `RetryInfo`, `grpc-retry-pushback-ms` |
//! | [`DeadlineExceeded`](ServiceError::DeadlineExceeded) | DEADLINE_EXCEEDED | |
//! | [`Cancelled`](ServiceError::Cancelled) | CANCELLED | |
//! | [`Unavailable`](ServiceError::Unavailable) | UNAVAILABLE | |
//! | [`Unimplemented`](ServiceError::Unimplemented) | UNIMPLEMENTED | |
//! | [`Unauthenticated`](ServiceError::Unauthenticated) | UNAUTHENTICATED | |
//! | [`PermissionDenied`](ServiceError::PermissionDenied) | PERMISSION_DENIED | |
//! | [`Internal`](ServiceError::Internal) | INTERNAL | `RequestInfo` with the id that is in the log |

#[cfg(feature = "engine")]
mod engine;

use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The trailer that tells gRPC clients how long to wait before a retry, in milliseconds.
pub const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Why a request was not answered. Turn it into a [`Status`] with `?` or `into()`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A field of the request is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// The path of the field within the request, `start.image.data`.
        field: String,
        /// What was found and what would be right.
        message: String,
    },
    /// Something that the request names does not exist.
    #[error("no {kind} {name:?}; {}", known_text(.known))]
    NotFound {
        /// What was looked for: "model", "version", "label".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// What exists.
        known: Vec<String>,
    },
    /// A queue is full or a limit is reached; the same request may succeed later.
    #[error("{message}; try again in {} ms", .retry_after.as_millis())]
    Busy {
        /// What is full.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The deadline passed, or cannot be met.
    #[error("{message}")]
    DeadlineExceeded {
        /// Which of the two.
        message: String,
    },
    /// The caller is gone. Nobody will read this.
    #[error("the request was cancelled")]
    Cancelled,
    /// Loading, draining, or nobody to forward to.
    #[error("{message}")]
    Unavailable {
        /// Which of them.
        message: String,
    },
    /// There is no such method here.
    #[error("{message}")]
    Unimplemented {
        /// What there is.
        message: String,
    },
    /// No credentials, or wrong ones.
    #[error("{message}")]
    Unauthenticated {
        /// What would be right.
        message: String,
    },
    /// The caller is known and may not do this.
    #[error("{message}")]
    PermissionDenied {
        /// What is not allowed.
        message: String,
    },
    /// A fault of ours. The message goes to the log under an id; the caller is told the id alone.
    #[error("{message}")]
    Internal {
        /// What went wrong.
        message: String,
    },
}

impl ServiceError {
    /// A field that is wrong: its path, and what was found and would be right.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// Something of this kind that does not exist, and what does.
    pub fn not_found(
        kind: &'static str,
        name: impl Into<String>,
        known: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::NotFound { kind, name: name.into(), known: known.into_iter().map(Into::into).collect() }
    }

    /// Something is full.
    pub fn busy(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::Busy { message: message.into(), retry_after }
    }

    /// The deadline passed while the request was under way.
    pub fn deadline_passed() -> Self {
        Self::DeadlineExceeded { message: "the deadline passed".into() }
    }

    /// Not now: loading, draining, no backend.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into() }
    }

    /// No such method.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::Unimplemented { message: message.into() }
    }

    /// A fault of ours; the message is for the log only.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into() }
    }

    /// The gRPC code of this error.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::Busy { .. } => Code::ResourceExhausted,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Unimplemented { .. } => Code::Unimplemented,
            Self::Unauthenticated { .. } => Code::Unauthenticated,
            Self::PermissionDenied { .. } => Code::PermissionDenied,
            Self::Internal { .. } => Code::Internal,
        }
    }

    /// This error as a response that carries nothing else.
    pub fn into_response(self) -> crate::Response {
        Status::from(self).into_http()
    }
}

impl From<ServiceError> for Status {
    /// Logs an [`Internal`](ServiceError::Internal) error under a new id on the way, since this is where
    /// its message is dropped.
    fn from(error: ServiceError) -> Self {
        let code = error.code();
        let mut message = error.to_string();
        let mut details = ErrorDetails::new();
        let mut metadata = MetadataMap::new();
        match error {
            ServiceError::Invalid { field, message } => {
                details.add_bad_request_violation(field, message);
            }
            ServiceError::NotFound { kind, name, known } => {
                details.set_resource_info(kind, name, "", known_text(&known));
            }
            ServiceError::Busy { retry_after, .. } => {
                details.set_retry_info(Some(retry_after));
                let milliseconds = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                metadata.insert(RETRY_PUSHBACK, MetadataValue::from(milliseconds));
            }
            ServiceError::Internal { message: hidden } => {
                let id = crate::request_id::random_hex(8);
                tracing::error!(error_id = %id, error = %hidden, "internal error");
                message = format!("internal error; the server's log has it under id {id}");
                details.set_request_info(id, "");
            }
            _ => {}
        }
        Status::with_error_details_and_metadata(code, message, details, metadata)
    }
}

/// Names what exists, and not more of it than a status should carry.
fn known_text(known: &[String]) -> String {
    const SHOWN: usize = 32;
    match known {
        [] => "there is none".to_owned(),
        known if known.len() <= SHOWN => format!("there is: {}", known.join(", ")),
        known => {
            let shown: Vec<&str> = known.iter().take(SHOWN).map(String::as_str).collect();
            format!("there is: {} and {} more", shown.join(", "), known.len() - SHOWN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_field_is_named_in_the_message_and_in_the_details() {
        let status = Status::from(ServiceError::invalid("sigma", "is 0.9, must be within 0 to 0.55"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "sigma: is 0.9, must be within 0 to 0.55");
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "sigma");
        assert_eq!(violation.description, "is 0.9, must be within 0 to 0.55");
    }

    #[test]
    fn an_unknown_name_comes_with_what_exists() {
        let status = Status::from(ServiceError::not_found("model", "fashion-vea", ["fashion-vae"]));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no model \"fashion-vea\"; there is: fashion-vae");
        let details = status.get_error_details();
        assert_eq!(details.resource_info().unwrap().resource_name, "fashion-vea");
    }

    #[test]
    fn a_full_queue_says_when_to_retry_both_ways() {
        let status = Status::from(ServiceError::busy("the queue is full", Duration::from_millis(250)));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(
            status.get_error_details().retry_info().unwrap().retry_delay,
            Some(Duration::from_millis(250))
        );
        assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), "250");
    }

    #[test]
    fn an_internal_error_tells_an_id_and_nothing_else() {
        let status = Status::from(ServiceError::internal("/models/secret.onnx: node 7 exploded"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"), "{}", status.message());
        let id = status.get_error_details().request_info().unwrap().request_id.clone();
        assert_eq!(id.len(), 16);
        assert!(status.message().contains(&id));
        assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    }

    #[test]
    fn a_long_list_of_what_exists_is_cut() {
        let known = (0..1000).map(|i| format!("model-{i}"));
        let status = Status::from(ServiceError::not_found("model", "x", known));
        assert!(status.message().ends_with("and 968 more"), "{}", status.message());
    }
}
