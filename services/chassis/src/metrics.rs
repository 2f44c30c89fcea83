//! What a process counts and measures, in the text format of Prometheus.
//!
//! Nothing is gathered until it is asked for: whoever has something to show [adds](Metrics::add) a source, which
//! is read at each scrape. So a metric costs a request no more than the atomic counters that it needs anyway.
//!
//! Labels are bounded by what is configured: the roles of the process, the methods of its services, the models
//! that are loaded. A path or a name that a caller makes up is never one.

#[cfg(feature = "engine")]
pub mod engine;
mod exposition;
mod methods;
mod process;
mod requests;
mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use exposition::Exposition;
pub(crate) use methods::of as methods;
pub use requests::{Call, Meters};
pub(crate) use server::watch;

/// Writes what it has to show.
type Source = Box<dyn Fn(&mut Exposition) + Send>;

/// The metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    sources: Arc<Mutex<Vec<Source>>>,
}

impl Metrics {
    /// Those of the process itself: its build, memory, processor time and files, and its work on pictures.
    pub fn of_process() -> Self {
        let metrics = Self::default();
        metrics.add(process::collect);
        metrics.add(crate::blocking::collect);
        metrics
    }

    /// Adds something to be read at each scrape. It must not wait for anything.
    pub fn add(&self, source: impl Fn(&mut Exposition) + Send + 'static) {
        self.sources().push(Box::new(source));
    }

    /// All of it, as Prometheus reads it.
    ///
    /// # Errors
    /// Where a source broke the format: a fault of ours.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut exposition = Exposition::default();
        for source in self.sources().iter() {
            source(&mut exposition);
        }
        exposition.text()
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        // A source that panicked has changed nothing here.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("sources", &self.sources().len()).finish()
    }
}
