//! Telemetry: recordings, and the anomaly score of every row.

pub mod recording;
