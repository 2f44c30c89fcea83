//! The sessions that a worker steps streams with.

use std::time::Duration;

use super::Setup;
use crate::EngineError;
use crate::fault::Rebuild;
use crate::runtime::frame::Frame;
use crate::runtime::framed::Framed;
use crate::runtime::session::Runner;

/// One of a worker's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Own,
    Divided,
}

/// One of the frames of a worker's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) session: Which,
    pub(super) rows: usize,
}

/// One of its own and, where few streams do better so, one whose threads divide a step.
pub(super) struct Sessions {
    own: Framed,
    divided: Option<Framed>,
}

impl Sessions {
    pub(super) fn new(own: Box<dyn Runner>, divided: Option<Box<dyn Runner>>) -> Self {
        Self { own: Framed::new(own), divided: divided.map(Framed::new) }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Framed> {
        std::iter::once(&mut self.own).chain(&mut self.divided)
    }

    /// To be called once by the worker that steps with them, before it does: all sizes of each are run once.
    pub(super) fn record(&mut self, setup: &Setup) -> Result<(), EngineError> {
        self.all().try_for_each(|framed| framed.record(&setup.spec, setup.sizes.as_slice()))
    }

    /// Whether a run ended in panic.
    pub(super) fn panicked(&mut self) -> bool {
        self.all().any(|framed| framed.panicked())
    }

    /// Whether they are [spared](Rebuild::spares) after a step that failed. No frame holds a state any more.
    pub(super) fn survive(&mut self, setup: &Setup, rebuild: &mut Rebuild) -> bool {
        let mut all: Vec<&mut Framed> = self.all().collect();
        rebuild.spares(&setup.name, &mut all, |all| {
            let divided = setup.divided.as_ref().map_or(0, |divided| divided.threads);
            let _pass = setup.turnstile.pass(setup.threads.max(divided));
            let smallest = setup.sizes.as_slice().first().copied();
            all.iter_mut().try_for_each(|framed| framed.warm(&setup.spec, smallest))
        })
    }

    /// New ones after a fault, or how long to wait before the next attempt.
    pub(super) fn anew(setup: &Setup, rebuild: &mut Rebuild) -> Result<Self, Duration> {
        rebuild.attempt(&setup.name, || -> Result<Self, EngineError> {
            let divided = setup.divided.as_ref().map(|divided| (divided.factory)()).transpose()?;
            let mut sessions = Self::new((setup.factory)()?, divided);
            sessions.record(setup)?;
            Ok(sessions)
        })
    }

    /// The session for the next step, and how many threads it computes with.
    pub(super) fn pick(&self, setup: &Setup, alone: bool) -> (Which, usize) {
        match (&self.divided, &setup.divided) {
            (Some(_), Some(divided)) if alone => (Which::Divided, divided.threads),
            _ => (Which::Own, setup.threads),
        }
    }

    pub(super) fn get(&mut self, which: Which) -> &mut Framed {
        match (which, &mut self.divided) {
            (Which::Divided, Some(session)) => session,
            _ => &mut self.own,
        }
    }

    /// What the last run in a place left there.
    pub(super) fn left(&mut self, place: Place) -> Result<&Frame, EngineError> {
        let frame = self.get(place.session).known(place.rows);
        frame.ok_or_else(|| EngineError::Runtime("a frame is gone".into()))
    }
}
