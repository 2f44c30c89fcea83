//! The Helm chart, judged by Helm itself, by the schemas of Kubernetes and by the program that it runs.

// Clippy knows test functions, and not what they call.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod chart;
mod door;
mod golden;
mod kubernetes;
mod metrics;
mod models;
mod objects;
mod process;
mod refusals;
mod security;
