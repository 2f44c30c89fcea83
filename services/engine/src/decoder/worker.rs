//! The thread that steps streams.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use super::lane::Readiness;
use super::seats::{Post, Seat};
use super::sessions::Sessions;
use super::shared::{Shared, State, Waiting};
use super::slots::{Slots, pick};
use super::step::Halt;
use crate::EngineError;
use crate::fault::{Rebuild, caught};
use crate::sync::PoisonError;

/// What the worker does next.
enum Next {
    /// A step for those that are picked; `alone` if no other worker is in one.
    Step {
        alone: bool,
    },
    Wait(Option<Instant>),
    Stop,
}

pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared,
    pub(super) setup: &'a Setup,
    pub(super) post: &'a Post,
    /// Which of the workers this is.
    pub(super) number: usize,
    pub(super) slots: Slots,
    /// The fewest steps that any of those had who took the last one. Who comes late, or was parked, begins there: it
    /// has no claim on the steps that it was not there for.
    turn: u64,
    /// Halves of steps that failed, each to be tried alone.
    pub(super) again: VecDeque<Vec<usize>>,
    /// Slots that can go on, with the steps that they have taken.
    ready: Vec<(usize, u64)>,
    /// Slots that take the next step, with their tokens.
    pub(super) picked: Vec<(usize, i64)>,
}

/// Says that a worker is gone, however it went: where that was a panic nobody else steps those who have its slots.
struct Gone<'a> {
    shared: &'a Shared,
    number: usize,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let Self { shared, number } = *self;
        let mut state = shared.state();
        let stop = state.stop;
        if !stop {
            state.desks.of(number, |desk| (desk.out, desk.broken, desk.stepping) = (true, true, false));
        }
        let none_left = !stop && state.desks.all_broken();
        drop(state);
        let end = if stop { EngineError::Draining } else { shared.loading() };
        if let Some(post) = shared.posts.get(number) {
            *post.run() = None;
            for seat in post.clear() {
                shared.leave(number, seat, Err(end.clone()));
            }
        }
        if none_left {
            shared.end_line(&end);
        }
        shared.state().gone += 1;
        shared.wake();
    }
}

/// Steps streams until the decoder is stopped.
pub(super) fn serve(shared: &Shared, number: usize, mut sessions: Sessions) {
    let _gone = Gone { shared, number };
    let (setup, Some(post)) = (&shared.setup, shared.posts.get(number)) else { return };
    let slots = post.seats().len();
    let mut worker = Worker {
        shared,
        setup,
        post,
        number,
        slots: Slots::new(Arc::clone(&setup.shape), slots),
        turn: 0,
        again: VecDeque::new(),
        ready: Vec::with_capacity(slots),
        picked: Vec::with_capacity(slots),
    };
    let mut rebuild = Rebuild::default();
    let recorded = sessions.record(setup);
    let mut sessions = Some(sessions);
    if let Err(error) = recorded {
        tracing::error!(graph = setup.name, %error, "a session does not run what it was tried with");
        sessions = None;
        worker.out();
    }
    shared.state().begun += 1;
    shared.work.notify_all();
    loop {
        let Some(open) = sessions.as_mut() else {
            match Sessions::anew(setup, &mut rebuild) {
                Ok(fresh) => {
                    sessions = Some(fresh);
                    worker.back();
                }
                Err(pause) => {
                    if worker.wait_out(pause) {
                        return;
                    }
                }
            }
            continue;
        };
        match worker.next() {
            Next::Stop => return,
            Next::Wait(until) => worker.wait(until),
            Next::Step { alone } => {
                let Err(Halt { error, stopped }) = worker.step(open, alone) else {
                    rebuild.succeeded();
                    continue;
                };
                worker.recover(open);
                // Nothing is wrong with the session.
                if stopped && !open.panicked() {
                    continue;
                }
                tracing::error!(graph = setup.name, %error, streams = worker.picked.len(), "a step failed");
                worker.halve();
                if open.survive(setup, &mut rebuild) {
                    continue;
                }
                if !worker.again.is_empty() {
                    rebuild.excuse();
                }
                worker.lose();
                sessions = None;
                worker.out();
            }
        }
    }
}

impl Worker<'_> {
    /// Lets streams in and out, and says who takes the next step.
    fn next(&mut self) -> Next {
        // Cleared before looking around: what changes from here on is looked at next time.
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| desk.woken = false);
        let stop = state.stop;
        drop(state);
        if stop {
            self.end_all(&EngineError::Draining);
            return Next::Stop;
        }
        let (now, post) = (Instant::now(), self.post);
        let mut seats = post.seats();
        self.ready.clear();
        let mut earliest = None;
        for (slot, place) in seats.iter_mut().enumerate() {
            let Some(seat) = place else { continue };
            let readiness = seat.lane.readiness(now);
            match readiness {
                Readiness::Go => {
                    seat.served = seat.served.max(self.turn);
                    self.ready.push((slot, seat.served));
                }
                Readiness::Parked => earliest = earlier(earliest, seat.lane.deadline()),
                Readiness::Gone | Readiness::Expired => {}
            }
            if let Some(end) = readiness.end()
                && let Some(seat) = place.take()
            {
                self.shared.leave(self.number, seat, Err(end));
            }
        }
        self.admit(now, &mut seats);
        let is_there = |half: &Vec<usize>| self.ready.iter().any(|(slot, _)| half.contains(slot));
        let half = std::iter::from_fn(|| self.again.pop_front()).find(is_there);
        match half {
            Some(half) => self.ready.retain(|(slot, _)| half.contains(slot)),
            None => {
                pick(&mut self.ready, self.setup.sizes.max());
                self.turn = self.ready.iter().map(|(_, served)| *served).min().unwrap_or(self.turn);
            }
        }
        let token = |slot: usize| seats.get(slot)?.as_ref().map(|seat| seat.token);
        self.picked.clear();
        self.picked.extend(self.ready.iter().filter_map(|(slot, _)| Some((*slot, token(*slot)?))));
        drop(seats);
        let step = !self.picked.is_empty();
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| desk.stepping = step);
        let alone = state.desks.is_alone(self.number);
        drop(state);
        if step { Next::Step { alone } } else { Next::Wait(earliest) }
    }

    /// Gives free slots to those who wait, first come first served.
    fn admit(&mut self, now: Instant, seats: &mut [Option<Seat>]) {
        'seats: for (slot, place) in seats.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            loop {
                let mut state = self.shared.state();
                if state.waiting.is_empty() || state.desks.active() >= self.setup.slots {
                    return;
                }
                if !state.desks.is_next(self.number) {
                    break 'seats;
                }
                let Some(Waiting { lane, since, held }) = state.waiting.pop_front() else { return };
                state.desks.of(self.number, |desk| desk.active += 1);
                drop(state);
                drop(held);
                self.shared.counts.queue.time(since.elapsed());
                let used = self.shared.slots_used.hold(1);
                let mut seat = Seat { lane, token: 0, served: self.turn, since: now, stepped: false, used };
                match self.begin(slot, &mut seat, now) {
                    Ok(()) => {
                        // Whoever had the slot before may be in a half.
                        self.again.iter_mut().for_each(|half| half.retain(|other| *other != slot));
                        self.ready.push((slot, seat.served));
                        *place = Some(seat);
                        break;
                    }
                    Err(e) => self.shared.leave(self.number, seat, Err(e)),
                }
            }
        }
        // Who is left is for the others, who may have looked when it was not their turn yet.
        let mut state = self.shared.state();
        if !state.waiting.is_empty() && state.desks.active() < self.setup.slots {
            let asleep = state.desks.wake_next(self.number);
            drop(state);
            if asleep {
                self.shared.work.notify_all();
            }
        }
    }

    /// Readies a stream for its first step.
    fn begin(&mut self, slot: usize, seat: &mut Seat, now: Instant) -> Result<(), EngineError> {
        if let Some(end) = seat.lane.readiness(now).end() {
            return Err(end);
        }
        let (shape, slots) = (&self.setup.shape, &mut self.slots);
        let begun = caught(|| {
            slots.reset(slot)?;
            seat.token = seat.lane.first();
            shape.check(seat.token)?;
            slots.fill(slot, seat.lane.as_mut())
        });
        begun.and_then(|r| r)
    }

    fn end_all(&mut self, end: &EngineError) {
        self.again.clear();
        for seat in self.post.clear() {
            self.shared.leave(self.number, seat, Err(end.clone()));
        }
    }

    /// Says that there is no session here: whoever waits is for the others.
    fn out(&self) {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| (desk.out, desk.stepping) = (true, false));
        state.desks.wake();
        drop(state);
        self.shared.work.notify_all();
    }

    /// Says that steps are taken here again.
    pub(super) fn back(&self) {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| (desk.out, desk.broken) = (false, false));
    }

    /// Sleeps until something changes, or until the deadline of one who is parked.
    fn wait(&self, until: Option<Instant>) {
        let state = self.shared.state();
        let number = self.number;
        let idle = |s: &mut State| !s.desks.of(number, |desk| desk.woken) && !s.stop;
        match until {
            None => drop(self.shared.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner)),
            Some(until) => {
                let pause = until.saturating_duration_since(Instant::now());
                drop(
                    self.shared
                        .work
                        .wait_timeout_while(state, pause, idle)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
        }
    }

    /// Waits before the next attempt at a session; true when the decoder is stopped meanwhile. Those who have slots
    /// here are told: what they remember is here, and nobody knows when they could go on.
    fn wait_out(&mut self, pause: Duration) -> bool {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| desk.broken = true);
        let none_left = state.desks.all_broken();
        drop(state);
        self.end_all(&self.shared.loading());
        if none_left {
            self.shared.end_line(&self.shared.loading());
        }
        // Slots are free now, which the others may have for those who wait.
        self.shared.wake();
        let state = self.shared.state();
        let (state, _) = self
            .shared
            .work
            .wait_timeout_while(state, pause, |s| !s.stop)
            .unwrap_or_else(PoisonError::into_inner);
        state.stop
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
