//! Bounds how many threads compute at once in this process.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets workers through to the processor: at most `capacity` threads in sum, in the order of arrival.
///
/// With many graphs there are more sessions than cores. Sessions that are idle sleep (they never spin), and
/// those that want to run pass here, so that two never fight over a core. Only OS threads wait here, never
/// tokio's.
#[derive(Debug)]
pub(crate) struct Turnstile {
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    next_ticket: u64,
    now_serving: u64,
    /// How many sleep. Where none does, nobody need be woken: that would be a call to the system for each step
    /// of a stream.
    asleep: usize,
}

impl Turnstile {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let state = State { free: capacity, next_ticket: 0, now_serving: 0, asleep: 0 };
        Self { capacity, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for `threads` of them (never more than there are), first come first served.
    pub(crate) fn pass(&self, threads: usize) -> Pass<'_> {
        let threads = threads.clamp(1, self.capacity);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        // In order of arrival: else one that needs all threads would wait for ever behind many that need one.
        while state.now_serving != ticket || state.free < threads {
            state.asleep += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
        state.now_serving += 1;
        state.free -= threads;
        self.wake(state);
        Pass { turnstile: self, threads }
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let asleep = state.asleep;
        drop(state);
        if asleep > 0 {
            self.changed.notify_all();
        }
    }
}

/// The right to compute; given back on drop.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    turnstile: &'a Turnstile,
    threads: usize,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.turnstile.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free += self.threads;
        self.turnstile.wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn never_more_threads_run_than_there_are_and_everyone_gets_through() {
        let turnstile = Turnstile::new(3);
        let (running, most, passed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for worker in 0..8_usize {
                let (turnstile, running, most, passed) = (&turnstile, &running, &most, &passed);
                scope.spawn(move || {
                    let threads = 1 + worker % 4;
                    for _ in 0..200 {
                        let pass = turnstile.pass(threads);
                        let now = running.fetch_add(pass.threads, Ordering::SeqCst) + pass.threads;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(pass.threads, Ordering::SeqCst);
                        drop(pass);
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 1600);
        assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
        assert_eq!(turnstile.state.lock().unwrap().free, 3);
    }
}
