//! The id that follows a request through the fleet.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are not taken over: they would be repeated on every log line.
const MAX_LENGTH: usize = 128;

/// The id of a request: the caller's `x-request-id`, or one that we made. Among the extensions of each
/// request, in its span, and in the headers of its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id where it is 1 to 128 visible ASCII characters, and makes one otherwise.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let acceptable = |value: &&HeaderValue| {
            let value = value.as_bytes();
            (1..=MAX_LENGTH).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
        };
        headers.get(REQUEST_ID).filter(acceptable).map_or_else(Self::random, |value| Self(value.clone()))
    }

    /// A new id: 128 random bits in hexadecimal.
    pub fn random() -> Self {
        HeaderValue::from_maybe_shared(random_hex(16)).map_or_else(
            // Not reached: hexadecimal is a header value.
            |_| Self(HeaderValue::from_static("unknown")),
            Self,
        )
    }

    /// The id as a header value.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// This many random bytes in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> String {
    use std::fmt::Write;
    (0..bytes).fold(String::with_capacity(bytes * 2), |mut hex, _| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{:02x}", rand::random::<u8>());
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        RequestId::from_headers(&headers)
    }

    #[test]
    fn a_callers_id_is_taken_over() {
        assert_eq!(of(b"order-66/a").as_str(), "order-66/a");
    }

    #[test]
    fn an_id_that_would_spoil_the_log_is_replaced() {
        for bad in [&b""[..], b"two words", b"\xff", &[b'a'; 129]] {
            let id = of(bad);
            assert_eq!(id.as_str().len(), 32, "{bad:?}");
        }
    }

    #[test]
    fn made_ids_differ() {
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
