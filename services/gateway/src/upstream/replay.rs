//! A request's body that can be sent again as long as little of it was read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

/// How much all calls of a gateway together keep to be sent again: an eighth of the memory that the chart gives it. A
/// call that finds nothing left of it is sent once.
const ALLOWED_BYTES: usize = 32 << 20;

/// What each call keeps without asking for it, in bytes, so that a few that are long and slow do not take from all the
/// others what makes them safe: how many there are at once is bounded elsewhere.
const FREE_BYTES: usize = 4 << 10;

/// Pieces of fewer bytes are copied to be kept: as they came they hold all that was read from the socket with them.
const COPIED_BYTES: usize = 4 << 10;

/// So many bytes may be kept by all who share it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Allowance(Arc<Semaphore>);

impl Default for Allowance {
    fn default() -> Self {
        Self::new(ALLOWED_BYTES)
    }
}

impl Allowance {
    fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Room for so many bytes, until that is dropped; `None` where there is none left.
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// Keeps what is read of a body, up to a limit, and gives it out again from its beginning.
pub(crate) struct Replay(Arc<Mutex<Shared>>);

struct Shared {
    rest: Body,
    kept: Vec<Bytes>,
    /// How many of the kept pieces the reader has been given.
    given: usize,
    /// What is kept, with what it takes to keep it.
    bytes: usize,
    limit: usize,
    allowance: Option<Allowance>,
    /// What the kept pieces take of the allowance.
    taken: Option<OwnedSemaphorePermit>,
    /// Whether everything that was read is kept and more would be.
    keeping: bool,
    /// Whether the rest is at its end.
    ended: bool,
    /// Which reader may read.
    turn: u32,
}

impl Shared {
    /// Keeps a piece that the reader is given, if it may.
    fn keep(&mut self, piece: &Bytes) -> bool {
        // However small a piece is, that there is one takes room too.
        let room = piece.len() + size_of::<Bytes>();
        if !self.keeping || room > self.limit - self.bytes {
            return false;
        }
        let bytes = self.bytes + room;
        if let Some(allowance) = &self.allowance {
            let charged = bytes.saturating_sub(FREE_BYTES) - self.bytes.saturating_sub(FREE_BYTES);
            let Some(taken) = allowance.take(charged) else { return false };
            match &mut self.taken {
                Some(all) => all.merge(taken),
                None => self.taken = Some(taken),
            }
        }
        self.bytes = bytes;
        let small = piece.len() < COPIED_BYTES;
        self.kept.push(if small { Bytes::copy_from_slice(piece) } else { piece.clone() });
        self.given += 1;
        true
    }

    /// Nothing more is kept, and what was is gone as soon as the reader has been given it.
    fn stop_keeping(&mut self) {
        self.keeping = false;
        if self.given >= self.kept.len() {
            (self.kept, self.given, self.taken) = (Vec::new(), 0, None);
        }
    }
}

impl Replay {
    /// The body from its beginning, and what gives it out again. Keeps `limit` bytes at most, what it takes to keep
    /// them among these, and beyond its first few KiB no more than there is left of an allowance.
    pub(crate) fn new(body: Body, limit: usize, allowance: Option<&Allowance>) -> (Self, Body) {
        let ended = body.is_end_stream();
        let shared = Arc::new(Mutex::new(Shared {
            rest: body,
            kept: Vec::new(),
            given: 0,
            bytes: 0,
            limit,
            allowance: allowance.cloned(),
            taken: None,
            keeping: true,
            ended,
            turn: 0,
        }));
        let first = Body::new(Reader { shared: Arc::clone(&shared), turn: 0 });
        (Self(shared), first)
    }

    /// Whether it could be given out again now.
    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.0).keeping
    }

    /// The body from its beginning, once more; `None` where something of it was not kept. Whoever still reads it as it
    /// was given out before is told that it is over, and gets nothing more: in one with the question whether all was
    /// kept, or a piece could be lost in between.
    pub(crate) fn again(&self) -> Option<Body> {
        let turn = {
            let mut shared = lock(&self.0);
            if !shared.keeping {
                return None;
            }
            shared.given = 0;
            shared.turn += 1;
            shared.turn
        };
        // Unlocked: making a body of it asks it whether it is at its end.
        Some(Body::new(Reader { shared: Arc::clone(&self.0), turn }))
    }

    /// It will not be given out again: what was kept for that goes.
    pub(crate) fn release(&self) {
        lock(&self.0).stop_keeping();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    shared: Arc<Mutex<Shared>>,
    turn: u32,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut shared = lock(&self.shared);
        if shared.turn != self.turn {
            return Poll::Ready(Some(Err(Status::cancelled("the call was sent again"))));
        }
        if let Some(piece) = shared.kept.get(shared.given).cloned() {
            shared.given += 1;
            if !shared.keeping {
                shared.stop_keeping();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut shared.rest).poll_frame(cx));
        match &frame {
            None => shared.ended = true,
            Some(frame) => {
                let data = frame.as_ref().ok().and_then(Frame::data_ref);
                // Or the caller is gone, has sent what cannot be kept, or too much.
                if !data.is_some_and(|piece| shared.keep(piece)) {
                    shared.stop_keeping();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        // One whose turn is over has an error to tell.
        shared.turn == self.turn
            && shared.given >= shared.kept.len()
            && (shared.ended || shared.rest.is_end_stream())
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

    /// What it takes to keep a piece of so many bytes.
    fn room(bytes: usize) -> usize {
        bytes + size_of::<Bytes>()
    }

    async fn next(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn it_is_the_same_each_time_wherever_the_one_before_stopped(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..9),
            stops in proptest::collection::vec(0..9_usize, 0..4),
        ) {
            let whole: Vec<u8> = pieces.concat();
            block_on(async {
                let limit: usize = pieces.iter().map(|piece| room(piece.len())).sum();
                let (replay, mut reader) = Replay::new(body(&pieces), limit, None);
                for stop in stops {
                    for piece in pieces.iter().take(stop) {
                        assert_eq!(next(&mut reader).await.unwrap(), piece);
                    }
                    reader = replay.again().unwrap();
                }
                assert_eq!(reader.collect().await.unwrap().to_bytes(), whole);
            });
        }
    }

    #[tokio::test]
    async fn what_is_longer_than_the_limit_is_sent_once_and_not_kept() {
        let pieces = vec![vec![1; 40], vec![2; 40], vec![3; 40]];
        let (replay, mut reader) = Replay::new(body(&pieces), 2 * room(40), None);
        for (n, piece) in pieces.iter().enumerate() {
            assert_eq!(next(&mut reader).await.unwrap(), piece);
            assert_eq!(lock(&replay.0).kept.len(), [1, 2, 0][n]);
        }
        assert!(replay.again().is_none());
        assert_eq!(next(&mut reader).await, None);
    }

    /// The first reader may be at it still, on another thread.
    #[test]
    fn what_is_given_out_again_has_no_hole_whatever_is_read_meanwhile() {
        let pieces: Vec<Vec<u8>> = (0..50).map(|n| vec![n; 10]).collect();
        for _ in 0..200 {
            // The last pieces are not kept.
            let (replay, first) = Replay::new(body(&pieces), 40 * room(10), None);
            let again = std::thread::scope(|scope| {
                scope.spawn(move || drop(block_on(first.collect())));
                replay.again()
            });
            if let Some(again) = again {
                assert_eq!(block_on(again.collect()).unwrap().to_bytes(), pieces.concat());
            }
        }
    }

    #[tokio::test]
    async fn where_nothing_is_left_of_the_allowance_a_call_is_sent_once_and_what_was_taken_comes_back() {
        let each = room(1000);
        let allowance = Allowance::new(2 * each);
        let left = || allowance.0.available_permits();
        let piece = vec![vec![7; FREE_BYTES + 1000]];
        let mut calls = Vec::new();
        for room in [each, 0, 0] {
            let (replay, mut reader) = Replay::new(body(&piece), usize::MAX, Some(&allowance));
            assert_eq!(next(&mut reader).await.unwrap(), piece[0], "it is sent in any case");
            assert_eq!(left(), room);
            calls.push((replay, reader));
        }
        let again: Vec<bool> = calls.iter().map(|(replay, _)| replay.again().is_some()).collect();
        assert_eq!(again, [true, true, false]);
        calls.pop();
        calls.pop();
        assert_eq!(left(), each, "a call that is over");
        let (replay, _reader) = calls.remove(0);
        let second = replay.again().unwrap();
        replay.release();
        assert_eq!(second.collect().await.unwrap().to_bytes(), piece[0]);
        assert_eq!(left(), 2 * each, "an answer that has begun");
    }

    #[tokio::test]
    async fn a_short_call_is_kept_whatever_others_keep() {
        let allowance = Allowance::new(0);
        for (bytes, kept) in [(1, true), (FREE_BYTES - size_of::<Bytes>(), true), (FREE_BYTES, false)] {
            let piece = vec![vec![7; bytes]];
            let (replay, mut reader) = Replay::new(body(&piece), usize::MAX, Some(&allowance));
            assert_eq!(next(&mut reader).await.unwrap(), piece[0]);
            assert_eq!((replay.is_whole(), replay.again().is_some()), (kept, kept), "{bytes}");
        }
    }

    #[tokio::test]
    async fn a_small_piece_that_is_kept_does_not_hold_what_it_was_read_with() {
        for (bytes, free) in [(COPIED_BYTES - 1, true), (COPIED_BYTES, false)] {
            let read = Bytes::from(vec![7; 4 * COPIED_BYTES]);
            let frame = Ok::<_, Status>(Frame::data(read.slice(..bytes)));
            let whole = Body::new(StreamBody::new(futures_util::stream::iter([frame])));
            let (replay, mut reader) = Replay::new(whole, usize::MAX, None);
            drop(next(&mut reader).await);
            assert_eq!(read.is_unique(), free, "{bytes}");
            assert_eq!(replay.again().unwrap().collect().await.unwrap().to_bytes(), read.slice(..bytes));
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_quiet_after_its_answer_has_begun_keeps_nothing() {
        let allowance = Allowance::new(1000);
        let piece = Bytes::from(vec![7; FREE_BYTES]);
        let first = futures_util::stream::iter([Ok::<_, Status>(Frame::data(piece))]);
        let quiet = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        let whole = Body::new(StreamBody::new(quiet));
        let (replay, mut reader) = Replay::new(whole, usize::MAX, Some(&allowance));
        next(&mut reader).await.unwrap();
        assert!(allowance.0.available_permits() < 1000);
        replay.release();
        assert_eq!(allowance.0.available_permits(), 1000);
    }

    #[tokio::test]
    async fn after_an_answer_has_begun_nothing_more_is_kept_and_nothing_is_lost() {
        let pieces = vec![vec![1], vec![2], vec![3]];
        let (replay, mut first) = Replay::new(body(&pieces), 100, None);
        next(&mut first).await;
        next(&mut first).await;
        let second = replay.again().unwrap();
        replay.release();
        assert_eq!(second.collect().await.unwrap().to_bytes(), vec![1, 2, 3]);
        assert!(lock(&replay.0).kept.is_empty());
    }

    #[tokio::test]
    async fn a_reader_whose_turn_is_over_takes_nothing_from_the_next() {
        let (replay, mut first) = Replay::new(body(&[vec![1], vec![2]]), 100, None);
        assert_eq!(next(&mut first).await.unwrap(), vec![1]);
        let second = replay.again().unwrap();
        assert!(first.frame().await.unwrap().is_err());
        assert_eq!(second.collect().await.unwrap().to_bytes(), vec![1, 2]);
    }

    #[tokio::test]
    async fn the_end_is_told_with_the_last_piece_so_that_a_unary_call_takes_one_frame() {
        let whole =
            Body::new(http_body_util::Full::new(Bytes::from_static(b"x")).map_err(|never| match never {}));
        let (replay, mut reader) = Replay::new(whole, 100, None);
        for _ in 0..2 {
            assert!(!reader.is_end_stream());
            assert_eq!(next(&mut reader).await.unwrap(), "x");
            assert!(reader.is_end_stream());
            reader = replay.again().unwrap();
        }
    }
}
