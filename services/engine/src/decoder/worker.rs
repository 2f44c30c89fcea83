//! The thread that owns the step graph's session and the slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::{Lane, Onward, Readiness};
use super::sessions::{Place, Sessions};
use super::shape::StepShape;
use super::slots::{Slots, pick};
use super::{Setup, Shared, Waiting};
use crate::EngineError;
use crate::fault::{Rebuild, caught};
use crate::gauge::Held;
use crate::sync::PoisonError;

/// A stream in its slot.
struct Seat {
    lane: Box<dyn Lane>,
    token: i64,
    served: u64,
    _used: Held,
}

/// What the worker does next.
enum Next {
    /// A step for those that are picked; `alone` if no other worker is in one.
    Step {
        alone: bool,
    },
    Wait(Option<Instant>),
    Stop,
}

struct Worker<'a> {
    shared: &'a Shared,
    setup: &'a Setup,
    /// Which of the workers this is.
    number: usize,
    seats: Vec<Option<Seat>>,
    slots: Slots,
    /// Slots that can go on, with the steps that they have taken.
    ready: Vec<(usize, u64)>,
    /// Slots that take the next step, with their tokens.
    picked: Vec<(usize, i64)>,
}

/// Steps streams until the decoder is stopped.
pub(super) fn serve(shared: &Shared, number: usize, mut sessions: Sessions) {
    let setup = &shared.setup;
    let slots = setup.slots.div_ceil(shared.state().desks.len().max(1));
    let mut worker = Worker {
        shared,
        setup,
        number,
        seats: (0..slots).map(|_| None).collect(),
        slots: Slots::new(Arc::clone(&setup.shape), slots),
        ready: Vec::with_capacity(slots),
        picked: Vec::with_capacity(slots),
    };
    let mut rebuild = Rebuild::default();
    let recorded = sessions.record(setup);
    let mut sessions = Some(sessions);
    if let Err(error) = recorded {
        tracing::error!(graph = setup.name, %error, "a session has no memory for its steps");
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
                let picked = std::mem::take(&mut worker.picked);
                match worker.step(open, alone, &picked) {
                    Ok(()) => rebuild.succeeded(),
                    Err(e) => {
                        tracing::error!(graph = setup.name, error = %e, streams = picked.len(), "a step failed");
                        // Those who were not in this step are not hurt, unless their states go with the session.
                        for slot in picked.iter().map(|(slot, _)| *slot).chain(worker.slots.lose()) {
                            let message = format!("{} failed on this step", setup.name);
                            worker.leave(slot, Err(EngineError::Runtime(message)));
                        }
                        sessions = None;
                        worker.out();
                    }
                }
                worker.picked = picked;
            }
        }
    }
}

impl Worker<'_> {
    /// Lets streams in and out, and says who takes the next step.
    fn next(&mut self) -> Next {
        // Cleared before looking around: what changes from here on is looked at next time.
        {
            let mut state = self.shared.state();
            state.desks.of(self.number, |desk| desk.woken = false);
            if state.stop {
                drop(state);
                self.end_all(&EngineError::Draining);
                return Next::Stop;
            }
        }
        let now = Instant::now();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let mut earliest = None;
        for slot in 0..self.seats.len() {
            let Some(seat) = self.seats.get(slot).and_then(Option::as_ref) else { continue };
            match seat.lane.readiness(now) {
                Readiness::Go => ready.push((slot, seat.served)),
                Readiness::Parked => earliest = earlier(earliest, seat.lane.deadline()),
                Readiness::Gone => self.leave(slot, Err(EngineError::Cancelled)),
                Readiness::Expired => self.leave(slot, Err(EngineError::DeadlineExceeded)),
            }
        }
        self.admit(now, &mut ready);
        pick(&mut ready, self.setup.sizes.max());
        let token = |slot: usize| self.seats.get(slot).and_then(Option::as_ref).map(|s| s.token);
        self.picked.clear();
        self.picked.extend(ready.iter().filter_map(|(slot, _)| token(*slot).map(|t| (*slot, t))));
        self.ready = ready;
        let step = !self.picked.is_empty();
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| desk.stepping = step);
        let alone = state.desks.is_alone(self.number);
        drop(state);
        if step { Next::Step { alone } } else { Next::Wait(earliest) }
    }

    /// Gives free slots to those who wait, first come first served.
    fn admit(&mut self, now: Instant, ready: &mut Vec<(usize, u64)>) {
        // One who comes late begins where the others are: it has no claim on the steps it was not there for.
        let served = ready.iter().map(|(_, served)| *served).min().unwrap_or_default();
        'seats: for slot in 0..self.seats.len() {
            if self.seats.get(slot).is_none_or(Option::is_some) {
                continue;
            }
            loop {
                let mut state = self.shared.state();
                if state.waiting.is_empty() || state.desks.active() >= self.setup.slots {
                    return;
                }
                if !state.desks.is_next(self.number) {
                    break 'seats;
                }
                let Some(Waiting { mut lane, since, held }) = state.waiting.pop_front() else { return };
                state.desks.of(self.number, |desk| desk.active += 1);
                drop(state);
                drop(held);
                self.shared.counts.queue.time(since.elapsed());
                let used = self.shared.slots_used.hold(1);
                let begun = match lane.readiness(now) {
                    Readiness::Gone => Err(EngineError::Cancelled),
                    Readiness::Expired => Err(EngineError::DeadlineExceeded),
                    Readiness::Go | Readiness::Parked => {
                        let (shape, slots) = (&self.setup.shape, &mut self.slots);
                        let begun = caught(|| {
                            slots.reset(slot)?;
                            let token = lane.first();
                            known(shape, token)?;
                            slots.fill(slot, lane.as_mut())?;
                            Ok(token)
                        });
                        begun.and_then(|r| r)
                    }
                };
                match begun {
                    Ok(token) => {
                        if let Some(seat) = self.seats.get_mut(slot) {
                            *seat = Some(Seat { lane, token, served, _used: used });
                        }
                        ready.push((slot, served));
                        break;
                    }
                    Err(e) => {
                        drop(used);
                        self.end(lane, Err(e));
                    }
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

    /// Runs one step for these slots.
    fn step(
        &mut self,
        sessions: &mut Sessions,
        alone: bool,
        picked: &[(usize, i64)],
    ) -> Result<(), EngineError> {
        let size = self.setup.sizes.fit(picked.len());
        let (which, threads) = sessions.pick(self.setup, alone);
        let place = Place { session: which, rows: size };
        if let Some(left) = self.slots.elsewhere(picked, place) {
            self.slots.settle(sessions.left(left)?)?;
        }
        let session = sessions.get(which);
        self.slots.gather(picked, &self.setup.spec, session.frame(&self.setup.spec, size)?)?;
        let pass = self.setup.turnstile.pass(threads);
        let started = Instant::now();
        let frame = session.run(size)?;
        drop(pass);
        self.shared.counts.compute.time(started.elapsed());
        self.shared.counts.rows.count(picked.len());
        self.shared.counts.padding.add(size.saturating_sub(picked.len()));
        self.slots.scatter(picked, place, frame)?;
        self.shared.counts.iterations.add(1);
        self.shared.counts.steps.add(picked.len());
        for ((slot, _), logits) in picked.iter().zip(self.setup.shape.logits(frame)?) {
            self.advance(*slot, logits);
        }
        Ok(())
    }

    /// Gives a stream its logits; it goes on or leaves.
    fn advance(&mut self, slot: usize, logits: &[f32]) {
        let Some(seat) = self.seats.get_mut(slot).and_then(Option::as_mut) else { return };
        seat.served += 1;
        let (shape, slots, lane) = (&self.setup.shape, &mut self.slots, seat.lane.as_mut());
        // A cursor that panics ends its own stream.
        let next = caught(|| {
            let token = match lane.advance(logits)? {
                Onward::Next(token) => token,
                Onward::Restart(token) => {
                    slots.reset(slot)?;
                    token
                }
                Onward::End => return Ok(None),
            };
            known(shape, token)?;
            slots.fill(slot, lane)?;
            Ok(Some(token))
        });
        match next.and_then(|r| r) {
            Ok(Some(token)) => seat.token = token,
            Ok(None) => self.leave(slot, Ok(())),
            Err(e) => self.leave(slot, Err(e)),
        }
    }

    fn leave(&mut self, slot: usize, end: Result<(), EngineError>) {
        if let Some(Seat { lane, _used: used, .. }) = self.seats.get_mut(slot).and_then(Option::take) {
            // The slot is free before the client hears of the end.
            drop(used);
            self.end(lane, end);
        }
    }

    /// Ends a stream that was counted as active.
    fn end(&self, lane: Box<dyn Lane>, end: Result<(), EngineError>) {
        let counts = &self.shared.counts;
        match &end {
            Ok(()) => counts.finished.add(1),
            Err(EngineError::Cancelled) => counts.cancelled.add(1),
            Err(EngineError::DeadlineExceeded) => counts.expired.add(1),
            Err(_) => counts.failed.add(1),
        }
        self.shared.state().desks.of(self.number, |desk| desk.active -= 1);
        // The cursor is the caller's: what its drop does must not end this thread.
        let _ = caught(|| lane.finish(end));
    }

    /// Says that there is no session here: whoever waits is for the others.
    fn out(&self) {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| (desk.out, desk.stepping) = (true, false));
        state.desks.wake();
        drop(state);
        self.shared.work.notify_all();
    }

    /// Says that there is one again.
    fn back(&self) {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| (desk.out, desk.broken) = (false, false));
    }

    fn end_all(&mut self, error: &EngineError) {
        for slot in 0..self.seats.len() {
            self.leave(slot, Err(error.clone()));
        }
        let waiting = std::mem::take(&mut self.shared.state().waiting);
        for Waiting { lane, held, .. } in waiting {
            drop(held);
            self.shared.counts.failed.add(1);
            let _ = caught(|| lane.finish(Err(error.clone())));
        }
    }

    /// Sleeps until something changes, or until the deadline of one who is parked.
    fn wait(&self, until: Option<Instant>) {
        let state = self.shared.state();
        let number = self.number;
        let idle = |s: &mut super::State| !s.desks.of(number, |desk| desk.woken) && !s.stop;
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

    /// Waits before the next attempt at a session; true when the decoder is stopped meanwhile.
    fn wait_out(&mut self, pause: Duration) -> bool {
        let mut state = self.shared.state();
        state.desks.of(self.number, |desk| desk.broken = true);
        let none_left = state.desks.all_broken();
        drop(state);
        if none_left {
            self.end_all(&EngineError::Loading(format!(
                "{} is being rebuilt after a fault",
                self.setup.name
            )));
        }
        let state = self.shared.state();
        let (state, _) = self
            .shared
            .work
            .wait_timeout_while(state, pause, |s| !s.stop)
            .unwrap_or_else(PoisonError::into_inner);
        let stop = state.stop;
        drop(state);
        if stop {
            self.end_all(&EngineError::Draining);
        }
        stop
    }
}

/// Whether the graph can be given this token.
fn known(shape: &StepShape, token: i64) -> Result<(), EngineError> {
    if shape.has(token) {
        return Ok(());
    }
    let last = shape.tokens.saturating_sub(1);
    Err(EngineError::invalid("token", format!("is {token}, but the model has tokens 0 to {last}")))
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
