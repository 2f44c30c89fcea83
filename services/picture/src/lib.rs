//! What the services of images share.
//!
//! * [`Picture`] is an image as a model takes and gives it: planes of floats from 0 to 1. [`Decoded`] reads
//!   PNG and JPEG with bounds on what a hostile file can cost, [`Fit`] brings it to a model's size and colour
//!   mode, [`to_png`] writes it.
//! * [`message`] is the same in the words of the API: what comes in a request, and what goes out.
//! * [`tile`] lays many pictures out as one; [`walk`] goes from one code to another.
//!
//! Decoding and encoding take long: they are for blocking threads, not for async ones.

mod fit;
mod jpeg;
pub mod message;
mod picture;
mod pool;
mod read;
mod tile;
mod walk;
mod write;

pub use fit::Fit;
pub use message::Encoded;
pub use picture::{MAX_PIXELS, MAX_SIDE, Picture, PictureError};
pub use read::{Decoded, Format};
pub use tile::{columns, tile};
pub use walk::walk;
pub use write::to_png;
