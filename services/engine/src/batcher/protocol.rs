//! What the scheduler is told, and what it says is to be done.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::Priority;

pub(crate) type RequestId = u64;
pub(crate) type BatchId = u64;

/// Rows of a request.
pub(crate) type Part = (RequestId, Range<usize>);

/// Bounds of what is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows that may wait.
    pub(crate) rows: usize,
    /// Requests that may wait.
    pub(crate) requests: usize,
    /// Bytes that may be held by requests which wait or run. One request alone may exceed it.
    pub(crate) bytes: usize,
    /// Workers that run batches at the same time, as long as each has a session.
    pub(crate) workers: usize,
    /// A batch that runs for longer is given up.
    pub(crate) longest_run: Duration,
    /// Few rows wait this long for company although a worker is free.
    pub(crate) delay: Duration,
}

/// When a worker that is free is to take a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Now.
    Now,
    /// Then, or when more rows have come.
    At(Instant),
    /// When there is something.
    Never,
}

/// What happens to the scheduler.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request.
    Submit(Request),
    /// Its caller went away.
    Cancel { id: RequestId },
    /// Time passed.
    Tick,
    /// A worker is free.
    Take,
    /// A batch is through.
    Done { batch: BatchId, ok: bool },
    /// A worker has no session any more.
    Lost,
    /// It has one again.
    Back,
    /// No more requests from here on.
    Drain,
    /// Give up what is there.
    Abort,
}

/// A request that comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    /// At least 1.
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: Priority,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// The request was not taken in.
    Refuse { id: RequestId, why: Refusal },
    /// The worker that asked is to run these rows of these requests.
    Run { batch: BatchId, parts: Vec<Part> },
    /// Nobody waits for this batch any more: it is to be stopped, if it can be.
    Terminate { batch: BatchId },
    /// All rows of the request are done.
    Answer { id: RequestId },
    /// The request has no answer.
    Fail { id: RequestId, why: Failure },
}

/// Why a request was not taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    /// As much waits as may wait.
    Full { retry_after: Duration },
    /// The deadline passed, or will have before its turn comes.
    Late,
    /// No more requests are taken in.
    Draining,
}

/// Why a request that was taken in has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The deadline passed.
    Expired,
    /// The graph failed on it, also without company.
    Batch,
    /// Its batch ran for longer than any should.
    Stuck,
    /// It was given up.
    Aborted,
}
