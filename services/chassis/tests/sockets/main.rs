//! The chassis from outside, over real sockets.

// Clippy knows test functions, and not what they call.
#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(unreachable_pub, reason = "the tests of the gateway use the same support")]

mod age;
mod authority;
mod doors;
mod shutdown;
mod support;
mod tls;
