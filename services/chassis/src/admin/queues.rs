//! A look at what waits and runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

type Source = Box<dyn Fn() -> Vec<Value> + Send>;

/// The graphs of a process, each with its queue and, where it is a step graph, its slots. Clones share them.
#[derive(Clone, Default)]
pub struct Queues {
    sources: Arc<Mutex<Vec<Source>>>,
}

impl Queues {
    /// Adds graphs, to be looked at whenever somebody asks.
    pub fn add(&self, source: impl Fn() -> Vec<Value> + Send + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Adds the graphs of an engine.
    #[cfg(feature = "engine")]
    pub fn watch(&self, engine: atelier_engine::Engine) {
        self.add(move || engine.models().iter().flat_map(|model| of(model)).collect());
    }

    /// What is going on just now: `{"graphs": [...]}`, times in seconds.
    pub(crate) fn dump(&self) -> Value {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let graphs: Vec<Value> = sources.iter().flat_map(|source| source()).collect();
        json!({ "graphs": graphs })
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

#[cfg(feature = "engine")]
fn of(model: &atelier_engine::Model) -> Vec<Value> {
    let each = |activity: atelier_engine::Activity| {
        json!({
            "model": model.name().as_str(),
            "version": model.version().get(),
            "graph": activity.graph,
            "device": model.device().to_string(),
            "queued": activity.line.waiting,
            "oldest_queued_seconds": activity.line.oldest.map(|age| age.as_secs_f64()),
            "running": activity.running,
            "slots": activity.slots,
            "workers": activity.workers.total,
            "workers_healthy": activity.workers.healthy,
        })
    };
    model.activity().into_iter().map(each).collect()
}
