//! The engine's errors in the terms of the table. Here, because neither the engine (which knows no gRPC)
//! nor the domain services (to which both types are foreign) can hold it.

use atelier_engine::EngineError;

use crate::ServiceError;

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::InvalidInput { field, message } => Self::invalid(field, message),
            EngineError::UnknownModel { wanted, known } => Self::not_found("model", wanted, known),
            // The model exists; what was asked of it is not what its kind can do.
            EngineError::UnknownGraph { .. } => Self::invalid("model", message),
            EngineError::QueueFull { retry_after } => Self::busy("the queue is full", retry_after),
            EngineError::DeadlineExceeded => Self::DeadlineExceeded { message },
            EngineError::Cancelled => Self::Cancelled,
            EngineError::Loading(_) | EngineError::Draining => Self::unavailable(message),
            // The runtime's and packages' errors name files and nodes: for the log.
            _ => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::{Code, Status};

    use super::*;

    #[test]
    fn every_error_of_the_engine_has_its_row() {
        let retry_after = Duration::from_millis(5);
        for (error, code) in [
            (EngineError::invalid("z", "is NaN, must be finite"), Code::InvalidArgument),
            (EngineError::UnknownModel { wanted: "a".into(), known: vec!["b/1".into()] }, Code::NotFound),
            (EngineError::QueueFull { retry_after }, Code::ResourceExhausted),
            (EngineError::DeadlineExceeded, Code::DeadlineExceeded),
            (EngineError::Cancelled, Code::Cancelled),
            (EngineError::Loading("a/1".into()), Code::Unavailable),
            (EngineError::Draining, Code::Unavailable),
            (EngineError::Runtime("node 7".into()), Code::Internal),
        ] {
            let shown = error.to_string();
            assert_eq!(Status::from(ServiceError::from(error)).code(), code, "{shown}");
        }
    }

    #[test]
    fn what_the_runtime_says_stays_in_the_log() {
        let status = Status::from(ServiceError::from(EngineError::Runtime("/srv/a.onnx: node 7".into())));
        assert!(!status.message().contains("node 7"), "{}", status.message());
    }
}
