//! When to stop: the first signal asks, the second insists.

use atelier_chassis::shutdown;
use tokio_util::sync::CancellationToken;

use crate::cli::failure::{Exit, Failure};

/// The exit code of a process that SIGINT ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGINT or SIGTERM cancels. The second ends the process at once.
pub(super) fn on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        shutdown::signal().await;
        asked.cancel();
        shutdown::signal().await;
        // Without the clean-up of C libraries at exit: workers are in the midst of runs, and what they run on
        // would be torn down under them.
        signal_hook::low_level::exit(INTERRUPTED);
    });
    stop
}

/// Ends the process while its models are still being loaded, on threads that cannot be told to stop. As above,
/// without the clean-up of C libraries, which they are in the midst of.
pub(super) fn leave(ended: Result<(), Failure>) -> ! {
    let exit = match ended {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            failure.say();
            failure.exit()
        }
    };
    signal_hook::low_level::exit(exit as i32)
}
