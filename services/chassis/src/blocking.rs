//! Work that would hold up an async thread: decoding and encoding of pictures.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts};
use tokio::sync::Semaphore;

use crate::ServiceError;
use crate::metrics::Exposition;

/// What blocking work is for, as metrics tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the bytes of a request to numbers.
    Decode,
    /// From numbers to numbers, between runs of graphs.
    Convert,
    /// From numbers to the bytes of an answer.
    Encode,
}

/// Upper bounds in seconds: from a small picture to a poster.
const BOUNDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5];

/// What it took, in the order of [`STAGES`]. Of the whole process, whose cores the work shares.
static TIMES: [OnceLock<Option<Histogram>>; 4] = [const { OnceLock::new() }; 4];
const STAGES: [&str; 4] = ["decode", "convert", "encode", "wait"];
const WAIT: usize = 3;

fn observe(stage: usize, time: Duration) {
    let make = || {
        let options = HistogramOpts::new("picture_seconds", "-").buckets(BOUNDS.to_vec());
        Histogram::with_opts(options).ok()
    };
    if let Some(Some(times)) = TIMES.get(stage).map(|times| times.get_or_init(make)) {
        times.observe(time.as_secs_f64());
    }
}

/// Shows what it took.
pub(crate) fn collect(exposition: &mut Exposition) {
    for (times, stage) in TIMES.iter().zip(STAGES) {
        if let Some(Some(times)) = times.get() {
            exposition.observed(
                "atelier_picture_seconds",
                "What decoding, converting and encoding of pictures took, and the wait for a core to do it on.",
                &[("stage", stage)],
                times,
            );
        }
    }
}

/// Runs closures on tokio's blocking threads, at most as many at once as there are cores: each may hold a
/// decoded picture of many megabytes. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Blocking {
    permits: Arc<Semaphore>,
}

impl Default for Blocking {
    /// Bounded by the cores that this process may use.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { permits: Arc::new(Semaphore::new(cores)) }
    }
}

impl Blocking {
    /// Runs `work` when its turn comes. Dropping the future while it waits means that it is never run; once
    /// begun it runs to its end.
    pub async fn run<T, F>(&self, stage: Stage, work: F) -> Result<T, ServiceError>
    where
        F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
        T: Send + 'static,
    {
        let closed = |_| ServiceError::internal("the bound on blocking work was closed");
        let asked = Instant::now();
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request: a request that is gone leaves its work behind.
            let _permit = permit;
            let begun = Instant::now();
            observe(WAIT, begun.duration_since(asked));
            let done = span.in_scope(work);
            observe(stage as usize, begun.elapsed());
            done
        });
        done.await.map_err(|error| ServiceError::internal(format!("blocking work failed: {error}")))?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_once_than_there_are_cores_and_a_panic_is_an_internal_error() {
        let blocking = Blocking { permits: Arc::new(Semaphore::new(2)) };
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |panics: bool| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            blocking.run(Stage::Convert, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(!panics, "on purpose");
                Ok(())
            })
        };
        let results = futures_util::future::join_all((0..12).map(|i| work(i == 3))).await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
        for (i, result) in results.iter().enumerate() {
            match i {
                3 => assert!(matches!(result, Err(ServiceError::Internal { .. })), "{result:?}"),
                _ => assert_eq!(*result, Ok(())),
            }
        }
    }
}
