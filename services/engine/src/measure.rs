//! What the engine counts and measures with, so that a benchmark can say what that costs a request.

pub use crate::gauge::{Counter, Elapsed, Gauge, Held, Last};
pub use crate::histogram::Histogram;
