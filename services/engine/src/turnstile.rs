//! Bounds how many threads compute at once in this process.

use std::sync::Arc;

use crate::sync::atomic::{AtomicUsize, Ordering};
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
    pub(crate) fn pass(self: &Arc<Self>, threads: usize) -> Pass {
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
        Pass(Turn { turnstile: Arc::clone(self), threads: Arc::new(AtomicUsize::new(threads)) })
    }

    /// Threads that nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).free
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
pub(crate) struct Pass(Turn);

impl Pass {
    /// For somebody who may have to give it back in the holder's place.
    pub(crate) fn turn(&self) -> Turn {
        self.0.clone()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// The threads of a [`Pass`].
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    turnstile: Arc<Turnstile>,
    threads: Arc<AtomicUsize>,
}

impl Turn {
    /// Lets others have the threads, once, whether the holder has finished or never will. One that goes on computing
    /// shares the cores with them: slow is better than never.
    pub(crate) fn give_back(&self) {
        let threads = self.threads.swap(0, Ordering::Relaxed);
        if threads == 0 {
            return;
        }
        let mut state = self.turnstile.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free += threads;
        self.turnstile.wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_threads_run_than_there_are_and_everyone_gets_through() {
        let turnstile = Arc::new(Turnstile::new(3));
        let (running, most, passed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for worker in 0..8_usize {
                let (turnstile, running, most, passed) = (&turnstile, &running, &most, &passed);
                scope.spawn(move || {
                    let threads = 1 + worker % 4;
                    for _ in 0..200 {
                        let pass = turnstile.pass(threads);
                        let held = pass.0.threads.load(Ordering::SeqCst);
                        let now = running.fetch_add(held, Ordering::SeqCst) + held;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(held, Ordering::SeqCst);
                        drop(pass);
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 1600);
        assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
        assert_eq!(turnstile.free(), 3);
    }
    #[test]
    fn threads_that_were_given_back_in_the_place_of_their_holder_are_given_back_once() {
        let turnstile = Arc::new(Turnstile::new(2));
        let deaf = turnstile.pass(2);
        let turn = deaf.turn();
        turn.give_back();
        turn.give_back();
        let next = turnstile.pass(2);
        drop(deaf);
        assert_eq!(turnstile.free(), 0, "they are another's");
        drop(next);
        assert_eq!(turnstile.free(), 2);
    }
}
