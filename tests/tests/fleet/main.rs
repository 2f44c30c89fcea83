//! The fleet from outside: one file for each group of behaviours.

// Clippy knows test functions, and not what they call.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod classes;
mod command_line;
mod damage;
mod hostile;
mod images;
mod inpainting;
mod methods;
mod operations;
mod pictures;
mod prometheus;
mod python;
mod refusals;
mod reload;
mod roles;
mod rolling;
mod segmentation;
mod shutdown;
mod speech;
mod streams;
mod telemetry;
mod tensors;
mod text;
mod traces;
mod under_load;
