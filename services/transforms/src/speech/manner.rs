//! How it is spoken where nothing is said of it: by the service, in evaluations, and in samples of a run.

/// What logits are divided by.
pub const TEMPERATURE: f32 = 0.95;

/// What the random numbers of plans are multiplied by. With those that a planner learned with, 1, more digits are
/// misheard.
pub const VARIATION: f32 = 0.5;
