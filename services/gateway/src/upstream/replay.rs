//! A request's body that can be sent again as long as little of it was read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Keeps what is read of a body, up to a limit, and gives it out again from its beginning.
///
/// Copies nothing: what is kept are references to the pieces as they came.
pub(crate) struct Replay(Arc<Mutex<Shared>>);

struct Shared {
    rest: Body,
    kept: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    /// Whether everything that was read is kept and more would be.
    keeping: bool,
    /// Whether the rest is at its end.
    ended: bool,
    /// Which reader may read.
    turn: u32,
}

impl Replay {
    /// Keeps `limit` bytes at most.
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        let ended = body.is_end_stream();
        let shared = Shared { rest: body, kept: Vec::new(), bytes: 0, limit, keeping: true, ended, turn: 0 };
        Self(Arc::new(Mutex::new(shared)))
    }

    /// The body from its beginning. Whoever still reads it as it was given out before is told that it is over.
    pub(crate) fn body(&self) -> Body {
        let turn = {
            let mut shared = lock(&self.0);
            shared.turn += 1;
            shared.turn
        };
        // Unlocked: making a body of it asks it whether it is at its end.
        Body::new(Reader { shared: Arc::clone(&self.0), turn, at: 0 })
    }

    /// Whether it can be given out again.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).keeping
    }

    /// It will not be given out again: what was kept for that goes.
    pub(crate) fn release(&self) {
        lock(&self.0).keeping = false;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    shared: Arc<Mutex<Shared>>,
    turn: u32,
    /// Pieces of the kept ones that were given out.
    at: usize,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let reader = &mut *self;
        let mut shared = lock(&reader.shared);
        if shared.turn != reader.turn {
            return Poll::Ready(Some(Err(Status::cancelled("the call was sent again"))));
        }
        if let Some(piece) = shared.kept.get(reader.at) {
            let piece = piece.clone();
            reader.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if !shared.keeping && !shared.kept.is_empty() {
            shared.kept = Vec::new();
            reader.at = 0;
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut shared.rest).poll_frame(cx));
        match &frame {
            None => shared.ended = true,
            // The caller is gone, or has sent what cannot be kept.
            Some(Err(_)) => shared.keeping = false,
            Some(Ok(frame)) => match frame.data_ref() {
                Some(piece) if shared.keeping && shared.bytes + piece.len() <= shared.limit => {
                    shared.bytes += piece.len();
                    let piece = piece.clone();
                    shared.kept.push(piece);
                    reader.at += 1;
                }
                _ => shared.keeping = false,
            },
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        self.at >= shared.kept.len() && (shared.ended || shared.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    use super::*;

    fn body(pieces: &[Vec<u8>]) -> Body {
        let frames: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece.clone())))).collect();
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn next(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    proptest! {
        #[test]
        fn it_is_the_same_each_time_wherever_the_one_before_stopped(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..9),
            stops in proptest::collection::vec(0..9_usize, 0..4),
        ) {
            let whole: Vec<u8> = pieces.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let replay = Replay::new(body(&pieces), whole.len());
                for stop in stops {
                    let mut reader = replay.body();
                    for piece in pieces.iter().take(stop) {
                        assert_eq!(next(&mut reader).await.unwrap(), piece);
                    }
                    assert!(replay.is_whole());
                }
                assert_eq!(replay.body().collect().await.unwrap().to_bytes(), whole);
            });
        }
    }

    #[tokio::test]
    async fn what_is_longer_than_the_limit_is_sent_once_and_not_kept() {
        let pieces = vec![vec![1; 40], vec![2; 40], vec![3; 40]];
        let replay = Replay::new(body(&pieces), 100);
        let mut reader = replay.body();
        for (n, piece) in pieces.iter().enumerate() {
            assert_eq!(next(&mut reader).await.unwrap(), piece);
            assert_eq!(replay.is_whole(), n < 2);
        }
        assert_eq!(next(&mut reader).await, None);
        assert!(lock(&replay.0).kept.is_empty());
    }

    #[tokio::test]
    async fn after_an_answer_has_begun_nothing_more_is_kept_and_nothing_is_lost() {
        let pieces = vec![vec![1], vec![2], vec![3]];
        let replay = Replay::new(body(&pieces), 100);
        let mut first = replay.body();
        next(&mut first).await;
        next(&mut first).await;
        let second = replay.body();
        replay.release();
        assert_eq!(second.collect().await.unwrap().to_bytes(), vec![1, 2, 3]);
        assert!(lock(&replay.0).kept.is_empty());
    }

    #[tokio::test]
    async fn a_reader_whose_turn_is_over_takes_nothing_from_the_next() {
        let replay = Replay::new(body(&[vec![1], vec![2]]), 100);
        let mut first = replay.body();
        assert_eq!(next(&mut first).await.unwrap(), vec![1]);
        let second = replay.body();
        assert!(first.frame().await.unwrap().is_err());
        assert_eq!(second.collect().await.unwrap().to_bytes(), vec![1, 2]);
    }

    #[tokio::test]
    async fn the_end_is_told_with_the_last_piece_so_that_a_unary_call_takes_one_frame() {
        let whole =
            Body::new(http_body_util::Full::new(Bytes::from_static(b"x")).map_err(|never| match never {}));
        let replay = Replay::new(whole, 100);
        for _ in 0..2 {
            let mut reader = replay.body();
            assert!(!reader.is_end_stream());
            assert_eq!(next(&mut reader).await.unwrap(), "x");
            assert!(reader.is_end_stream());
        }
    }
}
