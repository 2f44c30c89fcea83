//! Sound: files of it, and pictures.

pub mod spectrum;
pub mod wav;
