//! The thread that owns a session of a stateless graph.

use std::time::Instant;

use atelier_package::Tensor;

use super::protocol::{Event, Ready};
use super::shared::{Job, Shared};
use crate::EngineError;
use crate::fault::{Rebuild, run_caught};
use crate::runtime::framed::Framed;
use crate::runtime::session::Runner;
use crate::sync::PoisonError;
use crate::sync::atomic::Ordering;

/// Runs batches until the batcher is stopped and nothing is left to do.
pub(super) fn serve(shared: &Shared, runner: Box<dyn Runner>) {
    let mut rebuild = Rebuild::default();
    let mut broken = false;
    let mut runner = match framed(shared, runner) {
        Ok(runner) => Some(runner),
        Err(error) => {
            tracing::error!(graph = shared.setup.name, %error, "a session has no memory for its batches");
            shared.healthy.fetch_sub(1, Ordering::AcqRel);
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
                    shared.healthy.fetch_add(1, Ordering::AcqRel);
                    if std::mem::take(&mut broken) {
                        shared.broken.fetch_sub(1, Ordering::AcqRel);
                    }
                }
                Err(pause) => {
                    if !std::mem::replace(&mut broken, true) {
                        shared.broken.fetch_add(1, Ordering::AcqRel);
                    }
                    if wait_out(shared, pause) {
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
        let stop = session.runner().stop();
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
            state.running.extend(stop.clone().map(|stop| (job.batch, stop)));
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
            Err(_) if stopped => false,
            Err(e) => {
                tracing::error!(graph = shared.setup.name, error = %e, requests = job.parts.len(), "a batch failed");
                // Dropped and made anew: nobody knows what state it is in.
                runner = None;
                shared.healthy.fetch_sub(1, Ordering::AcqRel);
                false
            }
        };
        shared.step(&mut shared.state(), Event::Done { batch: job.batch, ok });
        if !ok {
            // Its halves may be run by any worker, and this one has no session now.
            shared.work.notify_all();
        }
    }
}

/// A session for this thread.
fn framed(shared: &Shared, runner: Box<dyn Runner>) -> Result<Framed, EngineError> {
    let (setup, mut framed) = (&shared.setup, Framed::new(runner));
    if setup.joinable {
        framed.record(&setup.spec, setup.sizes.as_slice())?;
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
fn wait_out(shared: &Shared, pause: std::time::Duration) -> bool {
    let mut state = shared.state();
    if shared.broken.load(Ordering::Acquire) == shared.workers {
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
            outputs.push(run_caught(runner.runner(), inputs)?);
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
