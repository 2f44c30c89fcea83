//! The gateway from outside, over real sockets, with roles behind it that are real servers.

// Clippy knows test functions, and not what they call.
#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(unreachable_pub, dead_code, reason = "the support is shared with the tests of the chassis")]

mod access;
mod again;
#[path = "../../../chassis/tests/sockets/authority.rs"]
mod authority;
mod balance;
mod fleet;
mod forward;
mod lost;
mod metrics;
mod models;
#[path = "../../../chassis/tests/sockets/support.rs"]
mod support;
mod tensors;
