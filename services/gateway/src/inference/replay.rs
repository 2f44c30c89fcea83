//! A request that was looked into, and goes on as if it had not been.

use atelier_chassis::{Request, ServiceError};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::peek::Search;
use crate::upstream::Replay;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// What is kept of a request, in bytes, before its role is known: many messages whose name comes last must not fill
/// the memory.
const MAX_KEPT: usize = 64 << 10;

/// The name of the model that a request's first message is for, and the request as it came. Only so much is read
/// as the name needs.
///
/// # Errors
/// INVALID_ARGUMENT where it is no message or too much comes before the name, UNIMPLEMENTED where it is compressed,
/// and what reading it ran into.
pub(super) async fn name(request: Request) -> Result<(String, Request), ServiceError> {
    let (parts, body) = request.into_parts();
    let (replay, mut body) = Replay::new(body, usize::MAX, None);
    let (mut front, mut kept) = (Front::default(), 0);
    let name = loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                let Some(piece) = frame.data_ref() else { continue };
                if let Some(name) = front.read(piece)? {
                    break name;
                }
                // However small a piece is, that there is one takes room too.
                kept += piece.len() + size_of::<Bytes>();
                if kept > MAX_KEPT {
                    let message = "has too much before the name of the model, must begin with it";
                    return Err(ServiceError::invalid("message", message));
                }
            }
            // The role says what is wrong with a request without a message.
            None if front.prefix.is_empty() => break String::new(),
            None => return Err(malformed("breaks off")),
            Some(Err(status)) => return Err(ServiceError::unavailable(status.message())),
        }
    };
    // Only trailers are not kept, and no request has them.
    let whole = replay.again().ok_or_else(|| malformed("has trailers"))?;
    replay.release();
    Ok((name, Request::from_parts(parts, whole)))
}

/// Looks for the name in a message in its frame, which comes in pieces.
#[derive(Default)]
struct Front {
    prefix: Vec<u8>,
    /// Bytes of the message that were read.
    read: usize,
    search: Search,
}

impl Front {
    /// Reads the next piece; the name, once its bytes are there.
    fn read(&mut self, piece: &[u8]) -> Result<Option<String>, ServiceError> {
        let (prefix, message) = piece.split_at(piece.len().min(PREFIX - self.prefix.len()));
        self.prefix.extend_from_slice(prefix);
        let Some(&[flag, a, b, c, d]) = self.prefix.first_chunk::<PREFIX>() else { return Ok(None) };
        if flag != 0 {
            let message = "compressed messages are not taken; send them as they are";
            return Err(ServiceError::unimplemented(message));
        }
        let left = u32::from_be_bytes([a, b, c, d]) as usize - self.read;
        let (message, whole) = match message.get(..left) {
            Some(message) => (message, true),
            None => (message, false),
        };
        self.read += message.len();
        match self.search.read(message).map_err(malformed)? {
            None if whole => self.search.end().map(Some).map_err(malformed),
            found => Ok(found),
        }
    }
}

/// As a role would say it.
pub(super) fn malformed(why: &str) -> ServiceError {
    ServiceError::invalid("message", format!("is not one of this method: {why}"))
}

#[cfg(test)]
mod tests {
    use atelier_proto::inference::ModelInferRequest;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use prost::Message;
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

    /// A message whose name comes after so much else.
    fn name_behind(length: usize) -> Vec<u8> {
        // `id`, which nobody looks at.
        let others = ModelInferRequest { id: "x".repeat(length), ..Default::default() };
        let message = [&others.encode_to_vec()[..], &FRAMED[PREFIX..]].concat();
        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
    }

    #[tokio::test]
    async fn a_name_that_comes_late_is_found_and_one_that_comes_too_late_is_refused() {
        for piece in [1, 100, 10_000] {
            let sent = |length| {
                let bytes = name_behind(length);
                (request(bytes.chunks(piece).map(Bytes::copy_from_slice).collect()), bytes)
            };
            let (late, bytes) = sent(1000);
            let (found, late) = name(late).await.unwrap();
            assert_eq!(found, "bard");
            assert_eq!(late.into_body().collect().await.unwrap().to_bytes(), bytes);
            let refused = name(sent(2 * MAX_KEPT).0).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.to_string().contains("must begin with it"), "{refused}");
        }
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
