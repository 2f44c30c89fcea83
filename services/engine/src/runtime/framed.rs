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
    /// that has grown to what runs take; and where runs of this runner are recorded, they are now. Where they are not, only
    /// the frames of the smallest and the largest are kept. Error: the smallest cannot be run, or a run panics.
    pub(crate) fn record(&mut self, spec: &GraphSpec, sizes: &[usize]) -> Result<(), EngineError> {
        self.warm_up(spec, sizes, LONGEST_WARM_UP)
    }

    fn warm_up(&mut self, spec: &GraphSpec, sizes: &[usize], budget: Duration) -> Result<(), EngineError> {
        let recorded = self.runner.record();
        let [smallest, largest] = [sizes.first(), sizes.last()].map(|rows| rows.copied().unwrap_or_default());
        let mut took = Duration::ZERO;
        for rows in sizes.iter().copied() {
            let start = Instant::now();
            let warmed = if took <= budget {
                self.warm(spec, Some(rows))
            } else if recorded {
                // Later it could not be.
                self.frame(spec, rows).map(|_| ())
            } else {
                let after = took;
                tracing::warn!(graph = spec.name, rows, ?after, "larger batches are not warmed up");
                break;
            };
            match warmed {
                Err(error) if rows == smallest || self.panicked => return Err(error),
                // It may be too large just now.
                Err(error) => tracing::warn!(graph = spec.name, rows, %error, "batches are not warmed up"),
                Ok(()) => {}
            }
            // Memory that the next size grows into; a frame of this one is made again when it is needed.
            if !recorded && rows != smallest && rows != largest {
                self.frames.retain(|frame| frame.rows() != rows);
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
    #[derive(Default)]
    struct Slow {
        frames: Witness,
        warmed: Witness,
        records: bool,
        /// So many rows cannot be run.
        fails: usize,
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
            let rows = frame.map_or(0, |frame| frame.rows());
            self.warmed.saw(rows);
            std::thread::sleep(Duration::from_millis(2));
            match self.fails > 0 && rows == self.fails {
                true => Err(EngineError::Runtime("too large".into())),
                false => Ok(()),
            }
        }
    }

    fn spec() -> GraphSpec {
        let tensor = |name: &str| TensorSpec::new(name, Dtype::F32, ["batch".into()]);
        GraphSpec { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..GraphSpec::default() }
    }

    /// The sizes of which there are frames, and those that were run, within so many milliseconds.
    fn warmed_up(records: bool, budget_ms: u64) -> [Vec<usize>; 2] {
        let (frames, warmed) = (Witness::default(), Witness::default());
        let runner = Slow { frames: frames.clone(), warmed: warmed.clone(), records, fails: 0 };
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
    fn only_the_frames_of_the_smallest_and_the_largest_size_are_kept_but_all_that_are_recorded() {
        for (records, kept) in [(false, [true, false, true]), (true, [true; 3])] {
            let mut framed = Framed::new(Box::new(Slow { records, ..Slow::default() }));
            framed.record(&spec(), &[1, 2, 4]).unwrap();
            assert_eq!([1, 2, 4].map(|rows| framed.known(rows).is_some()), kept);
            assert_eq!(framed.frame(&spec(), 2).unwrap().rows(), 2, "made again when it is needed");
        }
    }

    #[test]
    fn a_size_that_cannot_be_run_is_left_out_unless_it_is_the_smallest() {
        for (fails, warmed_up) in [(2, true), (4, true), (1, false)] {
            let warmed = Witness::default();
            let runner = Slow { fails, warmed: warmed.clone(), ..Slow::default() };
            let told = Framed::new(Box::new(runner)).record(&spec(), &[1, 2, 4]);
            assert_eq!((told.is_ok(), warmed.seen().len()), (warmed_up, if warmed_up { 3 } else { 1 }));
        }
    }

    #[test]
    fn what_cannot_be_framed_is_warmed_up_as_it_is() {
        let warmed = Witness::default();
        let runner = Slow { warmed: warmed.clone(), ..Slow::default() };
        Framed::new(Box::new(runner)).warm(&spec(), None).unwrap();
        assert_eq!(warmed.seen().len(), 1);
    }

    #[test]
    fn a_runner_that_panicked_is_not_run_on() {
        let mut framed = Framed::new(Box::new(Slow::default()));
        framed.record(&spec(), &[1]).unwrap();
        assert!(framed.survives() && !framed.panicked());
        let error = framed.run(1).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("panicked: by accident"));
        assert!(framed.panicked() && !framed.survives());
        let mut framed = Framed::new(Box::new(Slow::default()));
        assert!(framed.run_alone(&[]).is_err() && framed.panicked());
    }
}
