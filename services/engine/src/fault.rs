//! What breaks in a worker stays in that worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use atelier_package::Tensor;

use crate::EngineError;
use crate::runtime::session::Runner;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs a graph; a panic is an error like any other. After either the runner must be made anew.
pub(crate) fn run_caught(runner: &mut dyn Runner, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
    caught(|| runner.run(inputs)).and_then(|r| r)
}

/// Turns a panic into an error.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, EngineError> {
    // Whatever `f` was working on is not looked at again after a panic.
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        EngineError::Runtime(format!("panicked: {text}"))
    })
}

/// Makes sessions anew after faults, the longer apart the more often it has to.
#[derive(Debug, Default)]
pub(crate) struct Rebuild {
    failures: u32,
}

impl Rebuild {
    /// Makes what a worker runs its graph with, or says how long to wait before the next attempt.
    pub(crate) fn attempt<T>(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, Duration> {
        match caught(make).and_then(|r| r) {
            Ok(made) => {
                tracing::warn!(graph = name, "rebuilt the session after a fault");
                Ok(made)
            }
            Err(e) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
                self.failures += 1;
                tracing::error!(graph = name, error = %e, ?pause, "the session cannot be rebuilt");
                Err(pause)
            }
        }
    }

    /// A run went well.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}
