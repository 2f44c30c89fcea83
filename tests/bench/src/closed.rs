//! Load in a closed loop: so many callers, each of which calls again once it is answered.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::infer::Client;

/// Callers of one connection; more would wait for each other's frames.
const CALLERS: usize = 32;

/// What callers saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) elapsed: Duration,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Seen {
    pub(crate) fn a_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }

    /// In milliseconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        self.latency.value_at_quantile(part) as f64 / 1000.0
    }
}

/// Callers with their connections, kept from one round to the next.
pub(crate) struct Callers {
    clients: Vec<Client>,
}

impl Callers {
    /// Connects this many.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn connect(address: &str, callers: usize) -> Result<Self> {
        let mut clients = Vec::with_capacity(callers);
        for caller in 0..callers {
            let shared = caller.checked_rem(CALLERS).filter(|rest| *rest > 0).and(clients.last()).cloned();
            clients.push(match shared {
                Some(client) => client,
                None => Client::connect(address).await?,
            });
        }
        Ok(Self { clients })
    }

    /// All of them call for `time`, with these messages in turn.
    ///
    /// # Errors
    /// A call failed: what does not answer has no speed.
    pub(crate) async fn call(&self, messages: &[Bytes], time: Duration) -> Result<Seen> {
        ensure!(!messages.is_empty(), "nothing to ask for");
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for (first, client) in self.clients.iter().enumerate() {
            let (mut client, messages) = (client.clone(), messages.to_vec());
            callers.spawn(async move {
                let mut latency = histogram()?;
                let turn = messages.iter().cycle().skip(first % messages.len());
                for message in turn {
                    let asked = Instant::now();
                    // Each asks once at least, however late it comes to it.
                    if !latency.is_empty() && asked.duration_since(start) >= time {
                        break;
                    }
                    if let Err(status) = client.call(message.clone(), None).await {
                        bail!("a call failed: {:?}: {}", status.code(), status.message());
                    }
                    latency.saturating_record(micros(asked.elapsed()));
                }
                Ok(latency)
            });
        }
        let mut latency = histogram()?;
        while let Some(seen) = callers.join_next().await {
            latency.add(seen??)?;
        }
        Ok(Seen { calls: latency.len(), elapsed: start.elapsed(), latency })
    }
}

/// Up to a minute, in microseconds, to three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
