//! Sees for the tests which frames are asked for or run, and by whom.

use std::sync::{Arc, Mutex};

use atelier_package::GraphSpec;

use super::frame::Frame;
use crate::EngineError;

/// The names of the threads that asked for frames, and of how many rows. Its clones see the same.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<(String, usize)>>>);

impl Witness {
    /// A frame of ordinary memory.
    pub(crate) fn frame(&self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        self.saw(rows);
        Frame::plain(spec, rows)
    }

    /// This thread did something with so many rows.
    pub(crate) fn saw(&self, rows: usize) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push((thread, rows));
    }

    /// Those since it was asked last.
    pub(crate) fn seen(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
