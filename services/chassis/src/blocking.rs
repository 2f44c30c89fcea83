//! Work that would hold up an async thread: decoding and encoding of pictures.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::ServiceError;

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
    pub async fn run<T, F>(&self, work: F) -> Result<T, ServiceError>
    where
        F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
        T: Send + 'static,
    {
        let closed = |_| ServiceError::internal("the bound on blocking work was closed");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request: a request that is gone leaves its work behind.
            let _permit = permit;
            span.in_scope(work)
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
            blocking.run(move || {
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
