//! Load in an open loop: requests are sent when they are due, whether or not others have been answered.
//!
//! Latency counts from when a request was due, not from when it could be sent, so that a server that stalls does
//! not hide the requests that would have come meanwhile (no coordinated omission).

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tonic::{Code, Status, TimeoutExpired};

use crate::closed::{histogram, micros};
use crate::infer::Client;

/// How finely requests are due: those of one step are sent together.
const STEP: Duration = Duration::from_millis(2);

/// What became of the requests.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many were sent.
    pub(crate) sent: u64,
    /// For how long.
    pub(crate) elapsed: Duration,
    /// Of those answered, in microseconds from when they were due.
    pub(crate) latency: Histogram<u64>,
    /// How many were answered within the deadline, counted from when they were due.
    pub(crate) good: u64,
    /// How the others ended.
    pub(crate) refused: BTreeMap<String, u64>,
}

/// Sends `rate` requests a second for `time`, each with this deadline, over these connections.
///
/// # Errors
/// Never because of the server: what it refuses is counted.
pub(crate) async fn send(
    clients: &[Client],
    messages: &[Bytes],
    rate: f64,
    time: Duration,
    deadline: Duration,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut tasks: JoinSet<(Result<(), Code>, Duration)> = JoinSet::new();
    let mut outcome =
        Outcome { sent: 0, elapsed: time, latency: histogram()?, good: 0, refused: BTreeMap::new() };
    let mut tick = tokio::time::interval(STEP);
    // What is due is told from the clock, so a late tick is made up for by itself.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while start.elapsed() < time {
        tick.tick().await;
        while Duration::from_secs_f64(outcome.sent as f64 / rate) <= start.elapsed().min(time) {
            let due = start + Duration::from_secs_f64(outcome.sent as f64 / rate);
            let at = usize::try_from(outcome.sent)?;
            let client = clients.get(at % clients.len().max(1)).cloned();
            let message = messages.get(at % messages.len().max(1)).cloned();
            if let (Some(mut client), Some(message)) = (client, message) {
                tasks.spawn(async move {
                    let answer = client.call(message, Some(deadline)).await;
                    (answer.map(|_| ()).map_err(|status| code(&status)), due.elapsed())
                });
            }
            outcome.sent += 1;
        }
        while let Some(done) = tasks.try_join_next() {
            count(&mut outcome, done?, deadline);
        }
    }
    outcome.elapsed = start.elapsed();
    while let Some(done) = tasks.join_next().await {
        count(&mut outcome, done?, deadline);
    }
    Ok(outcome)
}

fn count(outcome: &mut Outcome, (answer, latency): (Result<(), Code>, Duration), deadline: Duration) {
    match answer {
        Ok(()) => {
            outcome.latency.saturating_record(micros(latency));
            outcome.good += u64::from(latency <= deadline);
        }
        Err(code) => *outcome.refused.entry(format!("{code:?}")).or_default() += 1,
    }
}

/// How a call ended. What its own client gives up once the deadline is over is CANCELLED to tonic, but to the caller
/// that is the deadline.
fn code(status: &Status) -> Code {
    let mut causes = std::iter::successors(status.source(), |cause| (*cause).source());
    match causes.any(|cause| cause.is::<TimeoutExpired>()) {
        true => Code::DeadlineExceeded,
        false => status.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_gives_up_after_its_deadline_is_the_deadline_and_what_the_server_cancels_is_not() {
        let given_up = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!((given_up.code(), code(&given_up)), (Code::Cancelled, Code::DeadlineExceeded));
        assert_eq!(code(&Status::cancelled("by the server")), Code::Cancelled);
    }

    #[test]
    fn what_is_answered_late_is_no_good_and_what_is_refused_is_counted_by_code() {
        let mut outcome = Outcome {
            sent: 3,
            elapsed: Duration::from_secs(1),
            latency: histogram().unwrap(),
            good: 0,
            refused: BTreeMap::new(),
        };
        let deadline = Duration::from_millis(100);
        count(&mut outcome, (Ok(()), Duration::from_millis(50)), deadline);
        count(&mut outcome, (Ok(()), Duration::from_millis(150)), deadline);
        count(&mut outcome, (Err(Code::ResourceExhausted), Duration::from_millis(1)), deadline);
        assert_eq!((outcome.good, outcome.latency.len()), (1, 2));
        assert_eq!(outcome.refused, BTreeMap::from([("ResourceExhausted".to_owned(), 1)]));
    }
}
