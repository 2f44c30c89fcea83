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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_looks_again_and_again_until_there_is_nothing_to_look_after() {
        let (looked, looks) = mpsc::channel();
        let mut left = 2;
        let look = move || {
            left -= 1;
            looked.send(left).unwrap();
            left > 0
        };
        start(look).unwrap();
        let seen: Vec<i32> = looks.iter().collect();
        assert_eq!(seen, [1, 0], "its thread has ended, and with it what it looked with");
    }
}
