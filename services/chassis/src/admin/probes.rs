//! Whether the process lives, and whether it is ready, for those who ask over HTTP.

use std::sync::{Arc, OnceLock};

use crate::Health;
use crate::health::OVERALL;

/// The health that is asked. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    health: Arc<OnceLock<Health>>,
}

impl Probes {
    /// Goes by this health from now on. The first counts: a process has one.
    pub fn follow(&self, health: Health) {
        // That there is one already is no error.
        let _ = self.health.set(health);
    }

    /// Whether the server as a whole says SERVING.
    pub(crate) fn is_ready(&self) -> bool {
        self.health.get().is_some_and(|health| health.is_serving(OVERALL) == Some(true))
    }
}
