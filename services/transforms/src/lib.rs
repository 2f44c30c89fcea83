//! What happens to data before and after a graph.
//!
//! The services do it to what is sent to them, and the trainer's evaluation does it to a test split: that it
//! is the same code is what makes a measured figure one of what is served. Everything here is arithmetic on
//! memory: no files, no clocks, no threads, no inference.

pub mod clusters;
pub mod segmentation;
pub mod speech;
pub mod telemetry;
