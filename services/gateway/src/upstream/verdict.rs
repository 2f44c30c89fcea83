//! What an attempt came to, and whether another may follow.

use std::error::Error;

use atelier_chassis::error::RETRY_PUSHBACK;
use http::HeaderMap;
use tonic::{Code, ConnectError, TimeoutExpired};

/// What came of sending a call to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An answer that is the caller's to have, good or bad.
    Answered,
    /// An answer that is the caller's to have, and a fault of the endpoint.
    Fault,
    /// It says, before anything else, that it does not do it now.
    Declined,
    /// There is no connection to it.
    Unreachable,
    /// The connection ended before the call was looked at.
    NotTaken,
    /// The connection ended; what became of the call nobody knows.
    Lost,
    /// The call's deadline has passed.
    Expired,
}

impl Verdict {
    /// Of the headers of an answer. One that is an error and nothing else has its code there.
    pub(super) fn of_answer(headers: &HeaderMap) -> Self {
        let Some(code) = headers.get("grpc-status") else { return Self::Answered };
        match Code::from_bytes(code.as_bytes()) {
            // With a time to wait it is for the caller to wait.
            Code::Unavailable if headers.contains_key(RETRY_PUSHBACK) => Self::Answered,
            Code::Unavailable => Self::Declined,
            Code::Internal | Code::Unknown | Code::DataLoss => Self::Fault,
            _ => Self::Answered,
        }
    }

    /// Of an attempt without an answer.
    pub(super) fn of_error(error: &(dyn Error + 'static)) -> Self {
        for error in chain(error) {
            if error.is::<TimeoutExpired>() {
                return Self::Expired;
            }
            if error.is::<ConnectError>() {
                return Self::Unreachable;
            }
            // It waited for its turn on a connection that has ended.
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
                return Self::NotTaken;
            }
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
                // Calls that were taken go on after a GOAWAY without an error.
                let sent_away = error.is_go_away() && error.is_remote();
                let sent_away = sent_away && error.reason() == Some(h2::Reason::NO_ERROR);
                return if refused || sent_away { Self::NotTaken } else { Self::Lost };
            }
        }
        Self::Lost
    }

    /// Whether the endpoint is to blame.
    pub(super) fn is_failure(self) -> bool {
        match self {
            Self::Fault | Self::Declined | Self::Unreachable | Self::Lost => true,
            // A connection that ends in order is no fault.
            Self::Answered | Self::NotTaken | Self::Expired => false,
        }
    }

    /// Under which name another attempt is counted; `None` where there must not be one.
    pub(super) fn again(self) -> Option<Again> {
        match self {
            Self::Answered | Self::Fault | Self::Expired => None,
            Self::NotTaken => Some(Again::NotTaken),
            Self::Unreachable => Some(Again::Unreachable),
            Self::Declined => Some(Again::Declined),
            Self::Lost => Some(Again::Lost),
        }
    }
}

/// Why a call is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The connection ended before it was looked at.
    NotTaken,
    /// There was no connection.
    Unreachable,
    /// The endpoint said UNAVAILABLE.
    Declined,
    /// The connection ended, whatever had become of the call: the methods of the roles change nothing.
    Lost,
}

impl Again {
    pub(crate) const ALL: [Self; 4] = [Self::NotTaken, Self::Unreachable, Self::Declined, Self::Lost];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotTaken => "not_taken",
            Self::Unreachable => "unreachable",
            Self::Declined => "declined",
            Self::Lost => "lost",
        }
    }
}

/// An error and what is behind it.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(code: Option<Code>, pushback: bool) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(code) = code {
            headers.insert("grpc-status", HeaderValue::from(code as i32));
        }
        if pushback {
            headers.insert(RETRY_PUSHBACK, HeaderValue::from(70));
        }
        Verdict::of_answer(&headers)
    }

    #[test]
    fn only_what_was_declined_before_its_beginning_is_sent_again() {
        assert_eq!(answer(None, false).again(), None, "a stream that has begun");
        assert_eq!(answer(Some(Code::Unavailable), false).again(), Some(Again::Declined));
        for code in 0..17 {
            let code = Code::from_i32(code);
            if code != Code::Unavailable {
                assert_eq!(answer(Some(code), false).again(), None, "{code:?}");
            }
        }
    }

    #[test]
    fn a_time_to_wait_is_left_to_the_caller() {
        assert_eq!(answer(Some(Code::Unavailable), true), Verdict::Answered);
        assert_eq!(answer(Some(Code::ResourceExhausted), true), Verdict::Answered);
    }

    #[test]
    fn faults_of_the_caller_are_no_failures_of_the_endpoint() {
        for code in [Code::InvalidArgument, Code::NotFound, Code::DeadlineExceeded, Code::Ok] {
            assert!(!answer(Some(code), false).is_failure(), "{code:?}");
        }
        for code in [Code::Internal, Code::Unknown, Code::DataLoss, Code::Unavailable] {
            assert!(answer(Some(code), false).is_failure(), "{code:?}");
        }
    }

    #[test]
    fn a_stream_that_was_refused_was_not_taken_and_one_that_was_reset_may_have_been() {
        let refused = h2::Error::from(h2::Reason::REFUSED_STREAM);
        assert_eq!(Verdict::of_error(&refused), Verdict::NotTaken);
        let reset = h2::Error::from(h2::Reason::INTERNAL_ERROR);
        assert_eq!(Verdict::of_error(&reset), Verdict::Lost);
        let refused = ConnectError("refused".into());
        assert_eq!(Verdict::of_error(&refused), Verdict::Unreachable);
        assert_eq!(Verdict::of_error(&TimeoutExpired(())), Verdict::Expired);
    }
}
