//! Counts that cannot leak: what is added is taken away when a guard is dropped, on whichever path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// A number of things there are just now.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    /// Adds `n` for as long as the guard lives.
    pub fn hold(&self, n: usize) -> Held {
        self.0.fetch_add(n, Ordering::Relaxed);
        Held { gauge: self.clone(), n }
    }

    /// How many there are.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes away on drop what [`Gauge::hold`] added.
#[derive(Debug)]
pub struct Held {
    gauge: Gauge,
    n: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.n, Ordering::Relaxed);
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// A sum of times, to the nanosecond. It is full after 584 years.
#[derive(Debug, Default)]
pub struct Elapsed(AtomicU64);

impl Elapsed {
    /// Adds `time`.
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// When something happened last, to the millisecond.
#[derive(Debug, Default)]
pub struct Last(AtomicU64);

impl Last {
    /// It happens now.
    pub fn now(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.fetch_max(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When; `None` where it never did.
    pub fn get(&self) -> Option<SystemTime> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            ms => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_gives_back_what_it_took_even_when_its_holder_panics() {
        let gauge = Gauge::default();
        let held = gauge.hold(3);
        let inner = gauge.clone();
        let panicked = std::panic::catch_unwind(move || {
            let _held = inner.hold(2);
            assert_eq!(inner.get(), 5);
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(gauge.get(), 3);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }
}
