//! What a graph is doing, for metrics and health.

use std::time::{Duration, SystemTime};

use crate::histogram::Distribution;

/// A snapshot of a stateless graph's gauges and counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraphStats {
    /// Requests taken in and not yet answered.
    pub queued: usize,
    /// Requests (or parts of them) that are being computed.
    pub running: usize,
    /// Requests answered since the start.
    pub answered: u64,
    /// Requests refused at the door.
    pub refused: u64,
    /// Requests whose deadline passed.
    pub expired: u64,
    /// Requests that failed with their batch, or that nobody was left to serve.
    pub failed: u64,
    /// Requests whose caller went away.
    pub cancelled: u64,
    /// Batches run.
    pub batches: u64,
    /// Rows in them, without padding.
    pub rows: u64,
    /// Rows that were added to them to come to a size that the graph is run at.
    pub padding: u64,
    /// The time of the requests that were answered, from their arrival to their answer, in sum.
    pub answered_time: Duration,
    /// The time of the requests that failed, expired or were given up, from their arrival on, in sum.
    pub failed_time: Duration,
    /// The time that requests waited for a worker, in sum.
    pub queued_time: Duration,
    /// The time that requests' batches were computed, in sum: a batch of three requests counts three times.
    pub computed_time: Duration,
    /// When a request was last answered; `None` where none was.
    pub last_answer: Option<SystemTime>,
}

/// A snapshot of a decoder's gauges and counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecoderStats {
    /// Slots there are.
    pub slots: usize,
    /// Streams that have a slot.
    pub slots_used: usize,
    /// Streams that wait for one.
    pub waiting: usize,
    /// Streams that came to their end.
    pub finished: u64,
    /// Streams refused at the door.
    pub refused: u64,
    /// Streams whose deadline passed.
    pub expired: u64,
    /// Streams whose client went away.
    pub cancelled: u64,
    /// Streams that failed.
    pub failed: u64,
    /// Runs of the step graph.
    pub iterations: u64,
    /// Steps of streams in them: characters, samples.
    pub steps: u64,
    /// Rows that were added to them to come to a size that the graph is run at.
    pub padding: u64,
}

/// What a graph of either sort is doing, in one shape: for those that watch all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The graph's name within its model.
    pub graph: String,
    /// Who waits.
    pub line: Line,
    /// Requests, or parts of them, that are being computed; streams that have a slot.
    pub running: usize,
    /// The slots there are, where it is a step graph.
    pub slots: Option<usize>,
    /// The threads that run it.
    pub workers: Workers,
    /// How its requests ended.
    pub outcomes: Outcomes,
    /// What was computed.
    pub work: Work,
    /// What that took.
    pub times: Times,
}

/// Who waits for a graph just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Requests or streams of which nothing has been computed yet.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub oldest: Option<Duration>,
}

/// The threads that run a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// How many there are.
    pub total: usize,
    /// How many of them have a session that runs.
    pub healthy: usize,
}

/// How requests, or streams, ended since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// With an answer.
    pub answered: u64,
    /// At the door.
    pub refused: u64,
    /// With their deadline.
    pub expired: u64,
    /// With a fault of ours.
    pub failed: u64,
    /// With their caller.
    pub cancelled: u64,
}

/// What was computed since the start. A step of several streams is a batch of as many rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Runs of the graph.
    pub batches: u64,
    /// Rows in them, without padding.
    pub rows: u64,
    /// Rows of padding.
    pub padding: u64,
}

/// How long things took, since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// What requests waited for a worker, and streams for a slot, in seconds.
    pub queue: Distribution,
    /// What a run of the graph took, in seconds; for requests with the copies into and out of its batch.
    pub compute: Distribution,
    /// The rows of a run, without padding.
    pub rows: Distribution,
}

/// Whether a graph is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// All workers run.
    Ready,
    /// Some workers are being rebuilt after a fault; the others serve.
    Degraded,
    /// No worker runs.
    Down,
    /// No more work is taken in.
    Draining,
}

impl Health {
    pub(crate) fn of(draining: bool, healthy: usize, workers: usize) -> Self {
        match healthy {
            _ if draining => Self::Draining,
            0 => Self::Down,
            n if n < workers => Self::Degraded,
            _ => Self::Ready,
        }
    }

    /// The worse of two.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |h| match h {
            Self::Ready => 0,
            Self::Degraded => 1,
            Self::Down => 2,
            Self::Draining => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
