//! Serves the little packages of `tests/models` on the real runtime.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

mod calibrating;
mod importing;
mod loading;
mod reloading;
mod requests;
mod shipped;
mod streams;
mod support;
mod waves;
