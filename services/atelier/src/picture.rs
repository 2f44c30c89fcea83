//! Pictures worked on here and not by a server: noise for demonstrations, and many pictures as one, beside or
//! after each other.

mod animation;
mod file;
mod flat;
mod grid;
mod noise;

pub(crate) use animation::animate;
pub(crate) use file::{decode, encode};
pub(crate) use flat::flatten;
pub(crate) use grid::{GridArgs, draw, fitted};
pub(crate) use noise::add_noise;
