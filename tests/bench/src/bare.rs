//! A graph in a bare loop, with the cores used in the way that suits it best.

use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use atelier_package::{GraphSpec, Tensor};

use crate::machine;
use crate::raw::{Raw, Runtime};
use crate::rows::join;

/// A graph that is opened in both ways.
pub(crate) struct Bare<'a> {
    spec: &'a GraphSpec,
    /// One session with all cores.
    together: Vec<Raw>,
    /// A session for each core.
    apart: Vec<Raw>,
}

/// Rows that are run again and again, side by side where there are several parts.
pub(crate) struct Course {
    apart: bool,
    /// What each session is given, and how many rows that is.
    parts: Vec<(Vec<Tensor>, usize)>,
}

/// How fast something is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Rows a second, in sum over all sessions.
    pub(crate) a_second: f64,
    /// Microseconds of processor time for each row.
    pub(crate) computed_us: f64,
}

impl Course {
    /// Sessions that run side by side.
    pub(crate) fn sessions(&self) -> usize {
        self.parts.len()
    }

    /// The most rows that a session is given at a time.
    pub(crate) fn batch(&self) -> usize {
        self.parts.iter().map(|(_, rows)| *rows).max().unwrap_or_default()
    }
}

impl<'a> Bare<'a> {
    /// Opens it.
    ///
    /// # Errors
    /// It is no graph.
    pub(crate) fn open(runtime: &Runtime, onnx: &[u8], spec: &'a GraphSpec) -> Result<Self> {
        let apart = (0..machine::cores()).map(|_| runtime.open_on(onnx, 1)).collect::<Result<_>>()?;
        Ok(Self { spec, together: vec![runtime.open(onnx)?], apart })
    }

    /// These rows by one session with all cores, or divided among sessions of one core each: whichever makes more of
    /// them a second in `time`, and how many.
    ///
    /// # Errors
    /// The graph does not take these rows.
    pub(crate) fn best(&mut self, rows: &[Vec<Tensor>], time: Duration) -> Result<(Course, f64)> {
        let mut tried = |apart| {
            let course = self.course(rows, apart)?;
            // Once before it counts.
            self.pace(&course, time / 4)?;
            let pace = self.pace(&course, time)?;
            anyhow::Ok((course, pace.a_second))
        };
        let (together, apart) = (tried(false)?, tried(true)?);
        Ok(if apart.1 > together.1 { apart } else { together })
    }

    fn course(&self, rows: &[Vec<Tensor>], apart: bool) -> Result<Course> {
        let sessions = if apart { self.apart.len() } else { self.together.len() };
        let parts = rows.chunks(rows.len().div_ceil(sessions).max(1));
        let parts = parts.map(|rows| Ok((join(self.spec, rows)?, rows.len())));
        Ok(Course { apart, parts: parts.collect::<Result<_>>()? })
    }

    /// Runs them for `time`.
    ///
    /// # Errors
    /// A run fails.
    pub(crate) fn pace(&mut self, course: &Course, time: Duration) -> Result<Pace> {
        let spec = self.spec;
        let sessions = if course.apart { &mut self.apart } else { &mut self.together };
        let before = machine::computed(std::process::id())?;
        let ran = std::thread::scope(|scope| {
            let parts = sessions.iter_mut().zip(&course.parts);
            let threads: Vec<_> = parts
                .map(|(session, (batch, rows))| {
                    scope.spawn(move || session.repeat(spec, batch, time).map(|ran| (ran, *rows as f64)))
                })
                .collect();
            threads.into_iter().map(ended).collect::<Result<Vec<_>>>()
        })?;
        let computed = machine::computed(std::process::id())?.saturating_sub(before);
        let all: f64 = ran.iter().map(|((runs, _), rows)| f64::from(*runs) * rows).sum();
        Ok(Pace {
            a_second: ran
                .iter()
                .map(|((runs, time), rows)| f64::from(*runs) * rows / time.as_secs_f64())
                .sum(),
            computed_us: computed.as_secs_f64() * 1e6 / all.max(1.0),
        })
    }
}

fn ended<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a bare loop panicked")).and_then(|ran| ran)
}
