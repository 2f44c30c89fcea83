//! Who has the slots of a worker, and the step that it is in: others can end both while it computes.

use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use crate::gauge::Held;
use crate::runtime::stop::Stop;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::turnstile::Turn;

/// A stream in its slot.
pub(super) struct Seat {
    pub(super) lane: Box<dyn Lane>,
    pub(super) token: i64,
    /// Its steps, and those of others that it was not there for.
    pub(super) served: u64,
    pub(super) since: Instant,
    /// Whether it has taken a step.
    pub(super) stepped: bool,
    pub(super) used: Held,
}

/// A step that is being computed.
pub(super) struct Run {
    pub(super) started: Instant,
    pub(super) stop: Option<Arc<dyn Stop>>,
    pub(super) turn: Turn,
    /// The slots in it, with their tokens.
    pub(super) picked: Vec<(usize, i64)>,
    /// It took too long: its streams have been told.
    pub(super) given_up: bool,
}

impl Run {
    /// It ends as soon as it can.
    pub(super) fn stop(&self) {
        self.stop.iter().for_each(|stop| stop.stop());
    }
}

/// Where a worker does its work. Only it puts streams into seats and steps under way, and while a step is under way
/// it keeps nobody from the seats; whoever holds the step may therefore ask for the seats, and not the other way round.
pub(super) struct Post {
    seats: Mutex<Vec<Option<Seat>>>,
    run: Mutex<Option<Run>>,
}

impl Post {
    pub(super) fn new(slots: usize) -> Self {
        Self { seats: Mutex::new((0..slots).map(|_| None).collect()), run: Mutex::new(None) }
    }

    pub(super) fn seats(&self) -> MutexGuard<'_, Vec<Option<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The step that is under way.
    pub(super) fn run(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the step that is under way.
    pub(super) fn stop(&self) {
        self.run().iter().for_each(Run::stop);
    }

    /// Takes those out of their seats who have these slots.
    pub(super) fn take(&self, slots: impl IntoIterator<Item = usize>) -> Vec<Seat> {
        let mut seats = self.seats();
        slots.into_iter().filter_map(|slot| seats.get_mut(slot)?.take()).collect()
    }

    /// Takes all out of their seats.
    pub(super) fn clear(&self) -> Vec<Seat> {
        self.seats().iter_mut().filter_map(Option::take).collect()
    }

    /// The same where the worker lets go of the seats: one that is left behind may never do.
    pub(super) fn try_clear(&self) -> Vec<Seat> {
        let seats = self.seats.try_lock();
        seats.map(|mut seats| seats.iter_mut().filter_map(Option::take).collect()).unwrap_or_default()
    }
}
