//! How it is spoken where nothing is said of it: by the service, in evaluations, and in samples of a run.

/// What logits are divided by.
pub const TEMPERATURE: f32 = 0.95;

/// What the random numbers of plans are multiplied by: they are as the planner learned with.
pub const VARIATION: f32 = 1.0;
