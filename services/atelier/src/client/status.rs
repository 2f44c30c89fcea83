//! A gRPC status as one line and an exit code.

use std::error::Error;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::cli::failure::{Exit, Failure};

/// What to tell the user: the fields that are wrong, where the server names them, the code and the id
/// under which the server's log has the request.
pub(crate) fn failure(status: &Status, request_id: &str) -> Failure {
    if let (Code::Unknown, Some(source)) = (status.code(), status.source()) {
        // Not the server's word: tonic says UNKNOWN when a connection breaks in the midst of an answer.
        let message = format!("the connection was lost: {} (request {request_id})", root(source));
        return Failure::new(Exit::Unavailable, message);
    }
    let violations = status.get_details_bad_request().map(|b| b.field_violations).unwrap_or_default();
    let said = match violations.as_slice() {
        [] if status.message().is_empty() => "the server does not say why".to_owned(),
        [] => status.message().to_owned(),
        violations => {
            let fields = violations.iter().map(|v| format!("{}: {}", v.field, v.description));
            fields.collect::<Vec<_>>().join("; ")
        }
    };
    Failure::new(exit(status.code()), format!("{said} ({}, request {request_id})", name(status.code())))
}

/// What lies at the bottom of an error: "transport error" helps nobody.
pub(super) fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The exit code of a gRPC code.
fn exit(code: Code) -> Exit {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => Exit::BadInput,
        Code::NotFound | Code::Unimplemented => Exit::NotFound,
        Code::ResourceExhausted | Code::Unavailable => Exit::Unavailable,
        Code::DeadlineExceeded => Exit::Deadline,
        Code::Unauthenticated | Code::PermissionDenied => Exit::NotAllowed,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => Exit::Other,
    }
}

/// The name of a code as the gRPC specification writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_with_the_request() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("sigma", "is 0.9, must be within 0 to 0.55");
        details.add_bad_request_violation("image.data", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "bad request", details);
        let failure = failure(&status, "abc");
        assert_eq!(failure.exit(), Exit::BadInput);
        assert_eq!(
            failure.line(),
            Some(
                "sigma: is 0.9, must be within 0 to 0.55; image.data: is empty (INVALID_ARGUMENT, request abc)"
            )
        );
    }

    #[test]
    fn codes_of_one_cause_share_an_exit_code() {
        let exit = |code| failure(&Status::new(code, "x"), "id").exit();
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::ResourceExhausted), Exit::Unavailable);
        assert_eq!(exit(Code::Unavailable), Exit::Unavailable);
        assert_eq!(exit(Code::DeadlineExceeded), Exit::Deadline);
        assert_eq!(exit(Code::PermissionDenied), Exit::NotAllowed);
        assert_eq!(exit(Code::Internal), Exit::Other);
    }

    #[test]
    fn a_connection_that_breaks_is_not_what_the_server_says() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(failure(&Status::from_error(Box::new(broken)), "id").exit(), Exit::Unavailable);
        assert_eq!(failure(&Status::unknown("from a server"), "id").exit(), Exit::Other);
    }

    #[test]
    fn details_that_are_garbage_do_not_hide_the_message() {
        let status = Status::with_details(Code::Internal, "went wrong", vec![0xff; 9].into());
        assert_eq!(failure(&status, "id").line(), Some("went wrong (INTERNAL, request id)"));
    }
}
