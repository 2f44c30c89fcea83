//! The thread that owns a session of a stateless graph.

use std::time::{Duration, Instant};

use atelier_package::Tensor;

use super::protocol::{Event, Ready};
use super::shared::{Job, Run, Shared, State};
use crate::EngineError;
use crate::fault::Rebuild;
use crate::runtime::framed::Framed;
use crate::runtime::session::Runner;
use crate::sync::{MutexGuard, PoisonError};

/// Says that a worker is gone, however it went.
struct Gone<'a>(&'a Shared);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.state().gone += 1;
        self.0.work.notify_all();
        self.0.end.notify_all();
    }
}

/// Runs batches until the batcher is stopped and nothing is left to do.
pub(super) fn serve(shared: &Shared, runner: Box<dyn Runner>) {
    let _gone = Gone(shared);
    let mut rebuild = Rebuild::default();
    let mut broken = false;
    let mut runner = match framed(shared, runner) {
        Ok(runner) => Some(runner),
        Err(error) => {
            tracing::error!(graph = shared.setup.name, %error, "a session does not run what it was tried with");
            shared.step(&mut shared.state(), Event::Lost);
            None
        }
    };
    shared.state().begun += 1;
    shared.work.notify_all();
    loop {
        let Some(session) = runner.as_mut() else {
            let make = || (shared.setup.factory)().and_then(|fresh| framed(shared, fresh));
            match rebuild.attempt(&shared.setup.name, make) {
                Ok(fresh) => {
                    runner = Some(fresh);
                    let mut state = shared.state();
                    state.broken -= usize::from(std::mem::take(&mut broken));
                    shared.step(&mut state, Event::Back);
                }
                Err(pause) => {
                    let mut state = shared.state();
                    state.broken += usize::from(!std::mem::replace(&mut broken, true));
                    if wait_out(shared, state, pause) {
                        return;
                    }
                }
            }
            continue;
        };
        if !wait_for_work(shared) {
            return;
        }
        let pass = shared.setup.turnstile.pass(shared.setup.threads);
        // Only now that it can run at once is the batch formed: until here others could still join it.
        let stop = session.stop();
        let job = {
            let mut state = shared.state();
            if state.scheduler.ready(Instant::now()) != Ready::Now {
                continue;
            }
            let Some(job) = shared.step(&mut state, Event::Take) else { continue };
            // The rest is for another one.
            if state.scheduler.has_work() {
                shared.work.notify_one();
            }
            state.running.insert(job.batch, Run { stop: stop.clone(), turn: pass.turn() });
            job
        };
        let running = shared.running.hold(job.parts.len());
        let started = Instant::now();
        let result = job.span(&shared.setup.name).in_scope(|| run(shared, session, &job));
        drop(pass);
        // From here on nobody stops this batch, so that nobody stops the next one in its place.
        shared.state().running.remove(&job.batch);
        let stopped = stop.is_some_and(|stop| stop.reset());
        let requests = u32::try_from(job.parts.len()).unwrap_or(u32::MAX);
        let computed = started.elapsed();
        shared.counts.computed_time.add(computed.saturating_mul(requests));
        drop(running);
        let mut suspect = false;
        let ok = match result {
            Ok(outputs) => {
                rebuild.succeeded();
                shared.counts.batches.add(1);
                let rows = job.parts.iter().map(|(_, r, _)| r.len()).sum();
                shared.counts.rows.add(rows);
                if shared.setup.joinable {
                    shared.counts.padding.add(shared.setup.sizes.fit(rows).saturating_sub(rows));
                }
                shared.counts.compute.time(computed);
                shared.counts.batch_rows.count(rows);
                let mut state = shared.state();
                for ((id, range, _), outputs) in job.parts.iter().zip(outputs) {
                    if let Some(pending) = state.pending.get_mut(id) {
                        pending.done.push((range.clone(), outputs));
                    }
                }
                true
            }
            // It was stopped because nobody waits for it; nothing is wrong with the session.
            Err(_) if stopped && !session.panicked() => false,
            Err(e) => {
                tracing::error!(graph = shared.setup.name, error = %e, requests = job.parts.len(), "a batch failed");
                suspect = true;
                false
            }
        };
        let mut state = shared.state();
        shared.step(&mut state, Event::Done { batch: job.batch, ok });
        let halves = state.scheduler.has_halves();
        drop(state);
        if !ok {
            // Its halves may be run by any worker, and this one may have no session soon.
            shared.work.notify_all();
        }
        if suspect && !survives(shared, session, &mut rebuild) {
            if halves {
                rebuild.excuse();
            }
            shared.step(&mut shared.state(), Event::Lost);
            // Dropped and made anew: nobody knows what state it is in.
            runner = None;
        }
    }
}

/// Whether a session is [spared](Rebuild::spares) after a run that failed.
fn survives(shared: &Shared, session: &mut Framed, rebuild: &mut Rebuild) -> bool {
    let setup = &shared.setup;
    rebuild.spares(&setup.name, &mut [session], |sessions| {
        let _pass = setup.turnstile.pass(setup.threads);
        let smallest = setup.sizes.as_slice().first().copied().filter(|_| setup.joinable);
        sessions.iter_mut().try_for_each(|session| session.warm(&setup.spec, smallest))
    })
}

/// A session for this thread, which has run all that it will be run at.
fn framed(shared: &Shared, runner: Box<dyn Runner>) -> Result<Framed, EngineError> {
    let (setup, mut framed) = (&shared.setup, Framed::new(runner));
    if setup.joinable {
        framed.record(&setup.spec, setup.sizes.as_slice())?;
    } else {
        framed.warm(&setup.spec, None)?;
    }
    Ok(framed)
}

/// Waits until there are rows to run; false when there never will be.
fn wait_for_work(shared: &Shared) -> bool {
    let mut state = shared.state();
    loop {
        let now = Instant::now();
        state = match state.scheduler.ready(now) {
            Ready::Now => return true,
            Ready::Never if state.stop => return false,
            Ready::Never => shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Ready::At(at) => {
                let pause = at.saturating_duration_since(now);
                shared.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Waits before the next attempt at a session; true when the batcher is stopped meanwhile.
fn wait_out(shared: &Shared, mut state: MutexGuard<'_, State>, pause: Duration) -> bool {
    if shared.none_serves(&state) {
        // Nobody is there to serve what waits: say so now rather than at its deadline.
        shared.step(&mut state, Event::Abort);
    }
    let (state, _) =
        shared.end.wait_timeout_while(state, pause, |s| !s.stop).unwrap_or_else(PoisonError::into_inner);
    state.stop
}

/// Runs a job: its outputs by part, in the order of the parts.
fn run(shared: &Shared, runner: &mut Framed, job: &Job) -> Result<Vec<Vec<Tensor>>, EngineError> {
    let setup = &shared.setup;
    if !setup.joinable {
        let mut outputs = Vec::with_capacity(1);
        for (_, _, inputs) in &job.parts {
            outputs.push(runner.run_alone(inputs)?);
        }
        return Ok(outputs);
    }
    let rows = job.parts.iter().map(|(_, r, _)| r.len()).sum();
    let size = setup.sizes.fit(rows);
    let frame = runner.frame(&setup.spec, size)?;
    let mut at = 0;
    for (_, range, inputs) in &job.parts {
        for (input, tensor) in inputs.iter().enumerate() {
            frame.put(input, at, tensor, range.clone())?;
        }
        at += range.len();
    }
    frame.pad(rows)?;
    let frame = runner.run(size)?;
    let mut start = 0;
    let mut by_part = Vec::with_capacity(job.parts.len());
    for (_, range, _) in &job.parts {
        let rows = start..start + range.len();
        start = rows.end;
        by_part.push(frame.take(rows)?);
    }
    Ok(by_part)
}
