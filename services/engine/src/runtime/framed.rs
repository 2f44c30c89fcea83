//! A runner beside the memory of its runs.

use atelier_package::GraphSpec;

use super::frame::{Frame, broken};
use super::session::Runner;
use crate::EngineError;
use crate::fault::caught;

/// A runner with the frames of the sizes that it was run at: both go when it breaks.
pub(crate) struct Framed {
    // Before the runner, whose memory they have.
    frames: Vec<Frame>,
    runner: Box<dyn Runner>,
}

impl Framed {
    pub(crate) fn new(runner: Box<dyn Runner>) -> Self {
        Self { runner, frames: Vec::new() }
    }

    /// To be called once by the thread that runs it: where runs of this runner are recorded, they are now, at all of its sizes.
    pub(crate) fn record(&mut self, spec: &GraphSpec, sizes: &[usize]) -> Result<(), EngineError> {
        if self.runner.record() {
            sizes.iter().try_for_each(|rows| self.frame(spec, *rows).map(drop))?;
        }
        Ok(())
    }

    /// The runner, for what cannot be framed.
    pub(crate) fn runner(&mut self) -> &mut dyn Runner {
        self.runner.as_mut()
    }

    /// Where the inputs of a run of so many rows go.
    pub(crate) fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<&mut Frame, EngineError> {
        let at = match self.place(rows) {
            Some(at) => at,
            None => {
                self.frames.push(caught(|| self.runner.frame(spec, rows)).and_then(|r| r)?);
                self.frames.len() - 1
            }
        };
        self.frames.get_mut(at).ok_or_else(broken)
    }

    /// The frame of so many rows, if there was a run of that many.
    pub(crate) fn known(&self, rows: usize) -> Option<&Frame> {
        self.frames.get(self.place(rows)?)
    }

    /// Runs what is in the [frame](Self::frame) of so many rows. A panic is an error like any other; after either there
    /// is nothing to be had from this runner any more.
    pub(crate) fn run(&mut self, rows: usize) -> Result<&Frame, EngineError> {
        let frame = self.place(rows).and_then(|at| self.frames.get_mut(at)).ok_or_else(broken)?;
        caught(|| self.runner.run_frame(frame)).and_then(|r| r)?;
        Ok(frame)
    }

    fn place(&self, rows: usize) -> Option<usize> {
        self.frames.iter().position(|frame| frame.rows() == rows)
    }
}
