//! How a request stands to the others that wait.

use std::time::Instant;

/// Which of the requests that wait go first. Within a priority it is the earliest deadline; one that is more than half a
/// minute away counts as none, and of those the first that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before the others.
    High,
    /// As everybody.
    #[default]
    Normal,
    /// After the others, but never for ever: what has waited half a minute is run before what comes then.
    Low,
}

/// What a request asks for besides its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// When the answer is no longer of use.
    pub deadline: Option<Instant>,
    /// Before or after the others.
    pub priority: Priority,
}
