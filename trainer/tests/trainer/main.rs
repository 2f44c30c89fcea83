//! The trainer, from outside: operations and networks against ONNX Runtime, runs that stop and go on,
//! files that are not what they should be, and the outside judge of ONNX files.

// Clippy knows functions with #[test] as tests, but not what they share.
#![allow(clippy::unwrap_used)]

mod adversarial;
mod card;
mod evaluations;
mod evaluators;
mod faces;
mod features;
mod fitting;
mod judge;
mod networks;
mod nuclei;
mod operations;
mod optimiser;
mod page;
mod recipes;
mod spoken;
mod support;
mod telemetry;
mod wavenet;
