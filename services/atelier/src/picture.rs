//! Pictures worked on here and not by a server: noise for demonstrations, and many pictures as one.

mod file;
mod grid;
mod noise;

pub(crate) use file::{decode, encode};
pub(crate) use grid::{GridArgs, draw};
pub(crate) use noise::add_noise;
