//! Speech, a sample at a time: what samples, voices and words are to a WaveNet, and how long a word takes.
//!
//! A sample is a token: one of the levels of the [`MuLaw`]. What is to be said is a row of numbers beside
//! each sample, the [`Condition`], and the [`Plan`] of a model that makes one. How long it takes is drawn from the durations of the voice's recordings
//! ([`duration`]) before the first sample is made, for the condition says how far the word is. [`Draw`] chooses
//! each sample, and a [`Guard`] hears when they are no speech any more.

mod condition;
mod draw;
pub mod duration;
mod guard;
mod manner;
mod mu_law;
mod plan;

pub use condition::{Condition, FRAME, PROGRESS, Said};
pub use draw::Draw;
pub use guard::{Guard, LIMIT};
pub use manner::{TEMPERATURE, VARIATION};
pub use mu_law::MuLaw;
pub use plan::Plan;
