//! Looks after what no request's own timer does.

use std::time::Duration;

/// How often.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Calls `look` every [`PERIOD`] on a thread of its own, until it says false.
pub(crate) fn start(mut look: impl FnMut() -> bool + Send + 'static) -> std::io::Result<()> {
    let watch = move || {
        loop {
            std::thread::sleep(PERIOD);
            if !look() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("watchdog".into()).spawn(watch).map(drop)
}
