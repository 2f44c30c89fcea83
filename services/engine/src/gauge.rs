//! Counts that cannot leak: what is added is taken away when a guard is dropped, on whichever path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of things there are just now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    /// Adds `n` for as long as the guard lives.
    pub(crate) fn hold(&self, n: usize) -> Held {
        self.0.fetch_add(n, Ordering::Relaxed);
        Held { gauge: self.clone(), n }
    }

    /// How many there are.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes away on drop what [`Gauge::hold`] added.
#[derive(Debug)]
pub(crate) struct Held {
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
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
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
