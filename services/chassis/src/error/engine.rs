//! The engine's errors in the terms of the table. Here, because neither the engine (which knows no gRPC)
//! nor the domain services (to which both types are foreign) can hold it.

use atelier_engine::EngineError;

use crate::ServiceError;

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::InvalidInput { field, message } => Self::invalid(field, message),
            EngineError::UnknownModel { name, known } => Self::not_found("model", name, known),
            EngineError::QueueFull { retry_after } => Self::busy("the queue is full", retry_after),
            EngineError::DeadlineExceeded => Self::DeadlineExceeded { message },
            EngineError::Cancelled => Self::Cancelled,
            EngineError::Unavailable { .. } => Self::unavailable(message),
            _ => Self::internal(message),
        }
    }
}
