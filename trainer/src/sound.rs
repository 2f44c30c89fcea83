//! Sound: files of it, and pictures.

pub mod mel;
pub mod spectrum;
pub mod wav;
