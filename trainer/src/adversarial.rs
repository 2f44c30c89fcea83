//! What networks that are trained against each other need: losses, penalties on the discriminator, and the
//! layers that it is made of. Discriminators are never exported, so all of this is libtorch alone.

pub mod critic;
pub mod losses;
pub mod penalty;
pub mod spectral;
