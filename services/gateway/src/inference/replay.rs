//! A request that was looked into, and goes on as if it had not been.

use atelier_chassis::{Request, ServiceError};
use bytes::BytesMut;
use http_body_util::BodyExt;

use super::peek::{self, Peeked};
use crate::upstream::Replay;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The name of the model that a request's first message is for, and the request as it came. Only so much is read
/// as the name needs; the limit on messages holds for that too.
///
/// # Errors
/// INVALID_ARGUMENT where it is no message, UNIMPLEMENTED where it is compressed, and what reading it ran into.
pub(super) async fn name(request: Request) -> Result<(String, Request), ServiceError> {
    let (parts, body) = request.into_parts();
    // The limit on messages holds for what is kept, too.
    let replay = Replay::new(body, usize::MAX);
    let (mut body, mut seen) = (replay.body(), BytesMut::new());
    let name = loop {
        match look(&seen)? {
            Some(name) => break name,
            None => match body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        seen.extend_from_slice(data);
                    }
                }
                // The role says what is wrong with a request without a message.
                None if seen.is_empty() => break String::new(),
                None => return Err(malformed("breaks off")),
                Some(Err(status)) => return Err(ServiceError::unavailable(status.message())),
            },
        }
    };
    let whole = replay.body();
    replay.release();
    Ok((name, Request::from_parts(parts, whole)))
}

/// The name, once its bytes are there.
fn look(seen: &[u8]) -> Result<Option<String>, ServiceError> {
    let Some((&[flag, a, b, c, d], message)) = seen.split_first_chunk::<PREFIX>() else { return Ok(None) };
    if flag != 0 {
        let message = "compressed messages are not taken; send them as they are";
        return Err(ServiceError::unimplemented(message));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let (message, whole) = match message.get(..length) {
        Some(message) => (message, true),
        None => (message, false),
    };
    match peek::name(message, whole) {
        Peeked::Name(name) => Ok(Some(name)),
        Peeked::More => Ok(None),
        Peeked::Malformed(why) => Err(malformed(why)),
    }
}

/// As a role would say it.
pub(super) fn malformed(why: &str) -> ServiceError {
    ServiceError::invalid("message", format!("is not one of this method: {why}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::Status;
    use tonic::body::Body;

    use super::*;

    /// A message of `ModelReady` for "bard", framed.
    const FRAMED: [u8; 11] = [0, 0, 0, 0, 6, 0x0a, 4, b'b', b'a', b'r', b'd'];

    fn request(chunks: Vec<Bytes>) -> Request {
        let frames = chunks.into_iter().map(|chunk| Ok::<_, Status>(Frame::data(chunk)));
        Request::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
    }

    #[tokio::test]
    async fn a_request_is_the_same_after_it_was_looked_into_however_it_is_cut() {
        let bytes = [&FRAMED[..], &[7; 100]].concat();
        for size in 1..bytes.len() {
            let chunks = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            let (name, request) = name(request(chunks)).await.unwrap();
            assert_eq!(name, "bard");
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), bytes, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_name_needs() {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Status>>();
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::copy_from_slice(&FRAMED)))]);
        let body = Body::new(StreamBody::new(futures_util::StreamExt::chain(first, never)));
        assert_eq!(name(Request::new(body)).await.unwrap().0, "bard");
    }

    #[tokio::test]
    async fn what_is_compressed_or_breaks_off_is_refused() {
        let mut compressed = FRAMED;
        compressed[0] = 1;
        let refused = name(request(vec![Bytes::copy_from_slice(&compressed)])).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        let refused = name(request(vec![Bytes::copy_from_slice(&FRAMED[..8])])).await.unwrap_err();
        assert_eq!(refused.to_string(), "message: is not one of this method: breaks off");
        assert_eq!(name(request(vec![])).await.unwrap().0, "", "for the role to refuse");
    }
}
