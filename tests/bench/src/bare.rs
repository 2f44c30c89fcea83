//! A step graph in a bare loop, with the cores used in the way that suits it best.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use atelier_package::{GraphSpec, Tensor};

use crate::machine;
use crate::raw::{Raw, Runtime};
use crate::rows::join;

/// Sessions that run side by side, each with its part of the streams.
pub(crate) struct Bare<'a> {
    spec: &'a GraphSpec,
    sessions: Vec<Part>,
}

struct Part {
    raw: Raw,
    batch: Vec<Tensor>,
    rows: usize,
}

impl<'a> Bare<'a> {
    /// One session with all cores, or one for each core: whichever makes more rows a second in `time`.
    ///
    /// # Errors
    /// It is no graph, or does not take these rows.
    pub(crate) fn best(
        runtime: &Runtime,
        onnx: &[u8],
        spec: &'a GraphSpec,
        rows: &[Vec<Tensor>],
        time: Duration,
    ) -> Result<Self> {
        let cores = machine::cores();
        let mut together = Self::of(runtime, onnx, spec, rows, 1, cores)?;
        if rows.len() < cores {
            return Ok(together);
        }
        let mut apart = Self::of(runtime, onnx, spec, rows, cores, 1)?;
        // Once each before it counts.
        let pace = |bare: &mut Self| bare.a_second(time / 4).and_then(|_| bare.a_second(time));
        Ok(if pace(&mut apart)? > pace(&mut together)? { apart } else { together })
    }

    fn of(
        runtime: &Runtime,
        onnx: &[u8],
        spec: &'a GraphSpec,
        rows: &[Vec<Tensor>],
        sessions: usize,
        threads: usize,
    ) -> Result<Self> {
        let parts = rows.chunks(rows.len().div_ceil(sessions).max(1));
        let part = |rows: &[Vec<Tensor>]| {
            Ok(Part { raw: runtime.open_on(onnx, threads)?, batch: join(spec, rows)?, rows: rows.len() })
        };
        Ok(Self { spec, sessions: parts.map(part).collect::<Result<_>>()? })
    }

    /// Rows a second, in sum over all sessions.
    ///
    /// # Errors
    /// A run fails.
    pub(crate) fn a_second(&mut self, time: Duration) -> Result<f64> {
        let spec = self.spec;
        std::thread::scope(|scope| {
            let run = |part: &'_ mut Part| -> Result<f64> {
                Ok(part.raw.repeat(spec, &part.batch, time)?.a_second * part.rows as f64)
            };
            let threads: Vec<_> =
                self.sessions.iter_mut().map(|part| scope.spawn(move || run(part))).collect();
            let ended = |thread: std::thread::ScopedJoinHandle<'_, Result<f64>>| {
                thread.join().map_err(|_| anyhow!("a bare loop panicked")).and_then(|pace| pace)
            };
            threads.into_iter().map(ended).sum::<Result<f64>>().context("a bare loop failed")
        })
    }
}
