//! A runner beside the memory of its runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_package::{GraphSpec, Tensor};

use super::frame::{Frame, broken};
use super::session::Runner;
use super::stop::Stop;
use crate::EngineError;
use crate::fault::caught;

/// Whoever starts a service waits for its warm-up: batches that come after so long are first run when they are needed.
const LONGEST_WARM_UP: Duration = Duration::from_secs(2);

/// A runner with the frames of the sizes that it was run at: both go when it breaks.
pub(crate) struct Framed {
    // Before the runner, whose memory they have.
    frames: Vec<Frame>,
    runner: Box<dyn Runner>,
    panicked: bool,
}

impl Framed {
    pub(crate) fn new(runner: Box<dyn Runner>) -> Self {
        Self { runner, frames: Vec::new(), panicked: false }
    }

    /// To be called once by the thread that runs it: all of its sizes are run once, so that whoever is served finds memory
    /// that has grown to what runs take; and where runs of this runner are recorded, they are now.
    pub(crate) fn record(&mut self, spec: &GraphSpec, sizes: &[usize]) -> Result<(), EngineError> {
        self.warm_up(spec, sizes, LONGEST_WARM_UP)
    }

    fn warm_up(&mut self, spec: &GraphSpec, sizes: &[usize], budget: Duration) -> Result<(), EngineError> {
        let recorded = self.runner.record();
        let mut took = Duration::ZERO;
        for rows in sizes.iter().copied() {
            let start = Instant::now();
            if took <= budget {
                self.warm(spec, Some(rows))?;
            } else if recorded {
                // Later it could not be.
                self.frame(spec, rows)?;
            } else {
                let after = took;
                tracing::warn!(graph = spec.name, rows, ?after, "larger batches are not warmed up");
                break;
            }
            took += start.elapsed();
        }
        Ok(())
    }

    /// Runs rows of the runner's own, so many in their frame, or as they are without one.
    pub(crate) fn warm(&mut self, spec: &GraphSpec, rows: Option<usize>) -> Result<(), EngineError> {
        if let Some(rows) = rows {
            self.frame(spec, rows)?;
        }
        let frame = rows.and_then(|rows| self.place(rows)).and_then(|at| self.frames.get_mut(at));
        guarded(&mut self.panicked, || self.runner.warm(frame))
    }

    /// What stops a run from another thread.
    pub(crate) fn stop(&self) -> Option<Arc<dyn Stop>> {
        self.runner.stop()
    }

    /// Whether a run ended in panic: there is nothing to be had from this runner any more.
    pub(crate) fn panicked(&self) -> bool {
        self.panicked
    }

    /// Whether it can be run on after a run that failed.
    pub(crate) fn survives(&self) -> bool {
        !self.panicked && self.runner.survives()
    }

    /// Where the inputs of a run of so many rows go.
    pub(crate) fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<&mut Frame, EngineError> {
        let at = match self.place(rows) {
            Some(at) => at,
            None => {
                let frame = guarded(&mut self.panicked, || self.runner.frame(spec, rows))?;
                self.frames.push(frame);
                self.frames.len() - 1
            }
        };
        self.frames.get_mut(at).ok_or_else(broken)
    }

    /// The frame of so many rows, if there was a run of that many.
    pub(crate) fn known(&self, rows: usize) -> Option<&Frame> {
        self.frames.get(self.place(rows)?)
    }

    /// Runs what is in the [frame](Self::frame) of so many rows. A panic is an error like any other, but for
    /// [what comes after it](Self::survives).
    pub(crate) fn run(&mut self, rows: usize) -> Result<&Frame, EngineError> {
        let frame = self.place(rows).and_then(|at| self.frames.get_mut(at)).ok_or_else(broken)?;
        guarded(&mut self.panicked, || self.runner.run_frame(frame))?;
        Ok(frame)
    }

    /// Runs what cannot be framed, likewise.
    pub(crate) fn run_alone(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        guarded(&mut self.panicked, || self.runner.run(inputs))
    }

    fn place(&self, rows: usize) -> Option<usize> {
        self.frames.iter().position(|frame| frame.rows() == rows)
    }
}

/// Turns a panic into an error, and keeps in mind that there was one.
fn guarded<T>(panicked: &mut bool, f: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    caught(f).unwrap_or_else(|panic| {
        *panicked = true;
        Err(panic)
    })
}

#[cfg(test)]
mod tests {
    use atelier_package::{Dtype, TensorSpec};

    use super::*;
    use crate::runtime::witness::Witness;

    /// Takes its time to warm up, and panics when it is run.
    struct Slow {
        frames: Witness,
        warmed: Witness,
        records: bool,
    }

    impl Runner for Slow {
        fn run(&mut self, _inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
            panic!("by accident")
        }

        fn record(&mut self) -> bool {
            self.records
        }

        fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
            self.frames.frame(spec, rows)
        }

        fn warm(&mut self, frame: Option<&mut Frame>) -> Result<(), EngineError> {
            self.warmed.saw(frame.map_or(0, |frame| frame.rows()));
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        }
    }

    fn spec() -> GraphSpec {
        let tensor = |name: &str| TensorSpec::new(name, Dtype::F32, ["batch".into()]);
        GraphSpec { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..GraphSpec::default() }
    }

    /// The sizes of which there are frames, and those that were run, within so many milliseconds.
    fn warmed_up(records: bool, budget_ms: u64) -> [Vec<usize>; 2] {
        let (frames, warmed) = (Witness::default(), Witness::default());
        let runner = Slow { frames: frames.clone(), warmed: warmed.clone(), records };
        let budget = Duration::from_millis(budget_ms);
        Framed::new(Box::new(runner)).warm_up(&spec(), &[1, 2, 4], budget).unwrap();
        [frames, warmed].map(|witness| witness.seen().into_iter().map(|(_, rows)| rows).collect())
    }

    #[test]
    fn every_size_is_run_once_unless_that_takes_too_long_and_all_are_recorded_that_can_be() {
        assert_eq!(warmed_up(false, 60_000), [[1, 2, 4], [1, 2, 4]]);
        assert_eq!(warmed_up(false, 0), [[1], [1]]);
        assert_eq!(warmed_up(true, 0), [vec![1, 2, 4], vec![1]]);
    }

    #[test]
    fn what_cannot_be_framed_is_warmed_up_as_it_is() {
        let warmed = Witness::default();
        let runner = Slow { frames: Witness::default(), warmed: warmed.clone(), records: false };
        Framed::new(Box::new(runner)).warm(&spec(), None).unwrap();
        assert_eq!(warmed.seen().len(), 1);
    }

    #[test]
    fn a_runner_that_panicked_is_not_run_on() {
        let (frames, warmed) = (Witness::default(), Witness::default());
        let mut framed = Framed::new(Box::new(Slow { frames, warmed, records: false }));
        framed.record(&spec(), &[1]).unwrap();
        assert!(framed.survives() && !framed.panicked());
        let error = framed.run(1).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("panicked: by accident"));
        assert!(framed.panicked() && !framed.survives());
        let mut framed = Framed::new(Box::new(Slow {
            frames: Witness::default(),
            warmed: Witness::default(),
            records: false,
        }));
        assert!(framed.run_alone(&[]).is_err() && framed.panicked());
    }
}
