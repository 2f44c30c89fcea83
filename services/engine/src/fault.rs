//! What breaks in a worker stays in that worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use atelier_package::Tensor;

use crate::EngineError;
use crate::runtime::framed::Framed;
use crate::runtime::session::Runner;
use crate::sync::thread::JoinHandle;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Sessions that are made at once, one in the place of the other, though no run went well meanwhile.
const AT_ONCE: u32 = 2;
/// After so many failed runs in a row it may be the session, and not what it was given.
const SUSPICIOUS: u32 = 3;

/// Runs a graph; a panic is an error like any other. After a panic the runner must be made anew.
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

/// Waits for threads that are at their end.
pub(crate) fn join_all(graph: &str, threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!(graph, "a worker thread ended in panic");
        }
    }
}

/// Makes sessions anew after faults, the longer apart the more often it has to without a run that goes well.
#[derive(Debug, Default)]
pub(crate) struct Rebuild {
    /// Sessions that were asked for since a run went well.
    asked: u32,
    /// Whether the next one is asked for only after a pause, though the last one could be made.
    due: bool,
    /// Runs that failed since one went well, with sessions that survived them.
    failed: u32,
}

impl Rebuild {
    /// Makes what a worker runs its graph with, or says how long to wait before the next attempt: where it cannot be
    /// made, or those before it broke at once.
    pub(crate) fn attempt<T>(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, Duration> {
        if std::mem::take(&mut self.due) {
            let pause = self.pause();
            tracing::error!(graph = name, ?pause, "sessions that are made anew break too");
            return Err(pause);
        }
        self.asked = self.asked.saturating_add(1);
        match caught(make).and_then(|r| r) {
            Ok(made) => {
                self.due = self.asked >= AT_ONCE;
                tracing::warn!(graph = name, "rebuilt the session after a fault");
                Ok(made)
            }
            Err(e) => {
                let pause = self.pause();
                tracing::error!(graph = name, error = %e, ?pause, "the session cannot be rebuilt");
                Err(pause)
            }
        }
    }

    /// Twice as long with each session that was asked for.
    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.asked.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
    }

    /// A run went well.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// What broke the session is run again in parts. That one of them breaks the next one too is no news, and the others
    /// are not to wait for it.
    pub(crate) fn excuse(&mut self) {
        (self.asked, self.due) = (0, false);
    }

    /// Whether sessions are run on after a run of theirs that failed. Not after a panic; else as long as they do what they
    /// are known to do, which they are to `show`: now and then, or after each error where one may last. So nobody who asks
    /// for what cannot be computed takes them from the others.
    pub(crate) fn spares(
        &mut self,
        name: &str,
        sessions: &mut [&mut Framed],
        show: impl FnOnce(&mut [&mut Framed]) -> Result<(), EngineError>,
    ) -> bool {
        if sessions.iter().any(|session| session.panicked()) {
            return false;
        }
        let lasting = sessions.iter().any(|session| !session.survives());
        if !self.suspects() && !lasting {
            return true;
        }
        let shown = show(sessions);
        shown.inspect_err(|error| tracing::error!(graph = name, %error, "a session is broken")).is_ok()
    }

    /// A run failed that its session survived. Says, once in a while, whether the session is to be tried with what it is
    /// known to do.
    fn suspects(&mut self) -> bool {
        self.failed = self.failed.wrapping_add(1);
        self.failed.is_multiple_of(SUSPICIOUS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; 0] = [];

    /// The pauses, in milliseconds, between so many attempts: all that can be made break before a run goes well.
    fn pauses(rebuild: &mut Rebuild, attempts: usize, works: bool) -> Vec<u64> {
        let make = || if works { Ok(()) } else { Err(EngineError::Runtime("no".into())) };
        let mut pauses = Vec::new();
        let mut made = 0;
        while made < attempts {
            match rebuild.attempt("test", make) {
                Ok(()) => made += 1,
                Err(pause) => {
                    pauses.push(u64::try_from(pause.as_millis()).unwrap());
                    made += usize::from(!works);
                }
            }
        }
        pauses
    }

    #[test]
    fn pauses_between_attempts_double_up_to_the_longest_and_begin_anew_after_a_run_that_went_well() {
        let mut rebuild = Rebuild::default();
        assert_eq!(pauses(&mut rebuild, 8, false), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pauses(&mut rebuild, 1, true), NONE, "who has waited need not wait again");
        rebuild.succeeded();
        assert_eq!(pauses(&mut rebuild, 2, false), [100, 200]);
    }

    #[test]
    fn sessions_that_break_before_a_run_went_well_are_made_ever_longer_apart() {
        let mut rebuild = Rebuild::default();
        assert_eq!(pauses(&mut rebuild, 2, true), NONE, "it may have been what was run");
        assert_eq!(pauses(&mut rebuild, 6, true), [200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(pauses(&mut rebuild, 2, true), [5000, 5000]);
        rebuild.succeeded();
        assert_eq!(pauses(&mut rebuild, 3, true), [200]);
    }

    #[test]
    fn what_is_run_again_in_parts_costs_no_pause() {
        let mut rebuild = Rebuild::default();
        for _ in 0..6 {
            rebuild.excuse();
            assert_eq!(pauses(&mut rebuild, 1, true), NONE);
        }
        // It stands alone now, and there is another after it for those who were with it.
        assert_eq!(pauses(&mut rebuild, 1, true), NONE);
        assert_eq!(pauses(&mut rebuild, 1, true), [200]);
    }

    #[test]
    fn a_panic_while_a_session_is_made_is_an_attempt_that_failed() {
        let panics = || -> Result<(), EngineError> { panic!("by accident") };
        assert_eq!(Rebuild::default().attempt("test", panics), Err(FIRST_PAUSE));
    }

    #[test]
    fn every_third_run_that_fails_in_a_row_makes_its_session_suspect() {
        let mut rebuild = Rebuild::default();
        let failed = |rebuild: &mut Rebuild| [(); 7].map(|()| rebuild.suspects());
        assert_eq!(failed(&mut rebuild), [false, false, true, false, false, true, false]);
        rebuild.succeeded();
        assert_eq!(failed(&mut rebuild)[..3], [false, false, true]);
    }
}
