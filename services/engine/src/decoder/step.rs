//! A step of streams together, and what comes after one that failed.

use std::time::Instant;

use super::lane::Onward;
use super::seats::{Run, Seat};
use super::sessions::{Place, Sessions};
use super::worker::Worker;
use crate::EngineError;
use crate::fault::caught;

/// Why a step came to nothing.
pub(super) struct Halt {
    pub(super) error: EngineError,
    /// Somebody stopped it.
    pub(super) stopped: bool,
}

impl From<EngineError> for Halt {
    fn from(error: EngineError) -> Self {
        Self { error, stopped: false }
    }
}

impl Worker<'_> {
    /// Runs one step for those who are picked. Until it is through, nothing that they remember is changed.
    pub(super) fn step(&mut self, sessions: &mut Sessions, alone: bool) -> Result<(), Halt> {
        let (setup, post) = (self.setup, self.post);
        let size = setup.sizes.fit(self.picked.len());
        let (which, threads) = sessions.pick(setup, alone);
        let place = Place { session: which, rows: size };
        if let Some(left) = self.slots.elsewhere(&self.picked, place) {
            self.slots.settle(sessions.left(left)?)?;
        }
        let session = sessions.get(which);
        self.slots.gather(&self.picked, &setup.spec, session.frame(&setup.spec, size)?)?;
        let pass = setup.turnstile.pass(threads);
        let (started, stop) = (Instant::now(), session.stop());
        let picked = std::mem::take(&mut self.picked);
        *post.run() = Some(Run { started, stop: stop.clone(), turn: pass.turn(), picked, given_up: false });
        let result = session.run(size);
        let computed = started.elapsed();
        drop(pass);
        // From here on nobody stops this step, so that nobody stops the next one in its place.
        let run = post.run().take();
        let stopped = stop.is_some_and(|stop| stop.reset());
        if let Some(Run { picked, given_up, .. }) = run {
            self.picked = picked;
            if given_up {
                self.back();
            }
        }
        let frame = result.map_err(|error| Halt { error, stopped })?;
        let rows = setup.shape.logits(frame)?;
        self.slots.scatter(&self.picked, place, frame)?;
        let counts = &self.shared.counts;
        counts.compute.time(computed);
        counts.rows.count(self.picked.len());
        counts.padding.add(size.saturating_sub(self.picked.len()));
        counts.iterations.add(1);
        counts.steps.add(self.picked.len());
        let picked = std::mem::take(&mut self.picked);
        let mut seats = post.seats();
        for ((slot, _), logits) in picked.iter().zip(rows) {
            // Whoever was given up meanwhile is there no more.
            if let Some(place) = seats.get_mut(*slot) {
                self.advance(*slot, place, logits);
            }
        }
        self.picked = picked;
        Ok(())
    }

    /// Gives a stream its logits; it goes on or leaves.
    fn advance(&mut self, slot: usize, place: &mut Option<Seat>, logits: &[f32]) {
        let Some(seat) = place else { return };
        seat.served += 1;
        seat.stepped = true;
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
            shape.check(token)?;
            slots.fill(slot, lane)?;
            Ok(Some(token))
        });
        let end = match next.and_then(|r| r) {
            Ok(Some(token)) => {
                seat.token = token;
                return;
            }
            Ok(None) => Ok(()),
            Err(e) => Err(e),
        };
        if let Some(seat) = place.take() {
            self.shared.leave(self.number, seat, end);
        }
    }

    /// After a step that came to nothing: its streams remember what they did before, or end.
    pub(super) fn recover(&mut self, sessions: &mut Sessions) {
        let Some(Place { session, rows }) = self.slots.begun() else { return };
        let spec = &self.setup.spec;
        let frame = sessions.get(session).frame(spec, rows);
        if let Err(error) = frame.and_then(|frame| self.slots.recover(spec, frame)) {
            tracing::error!(graph = self.setup.name, %error, "what streams remember is lost with their step");
            self.lose();
        }
    }

    /// Ends those whose states are lost with the frames.
    pub(super) fn lose(&mut self) {
        for slot in self.slots.lose() {
            self.fail(slot);
        }
    }

    /// Has the streams of a step that failed tried again in two halves, and those in halves, until what breaks it
    /// stands alone: that one ends.
    pub(super) fn halve(&mut self) {
        if let [(slot, _)] = self.picked.as_slice() {
            self.fail(*slot);
            return;
        }
        let slots: Vec<usize> = self.picked.iter().map(|(slot, _)| *slot).collect();
        let (first, second) = slots.split_at(slots.len() / 2);
        self.again.push_front(second.to_vec());
        self.again.push_front(first.to_vec());
    }

    fn fail(&self, slot: usize) {
        for seat in self.post.take([slot]) {
            let message = format!("{} failed on this step", self.setup.name);
            self.shared.leave(self.number, seat, Err(EngineError::Runtime(message)));
        }
    }
}
