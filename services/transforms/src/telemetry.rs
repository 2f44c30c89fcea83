//! Telemetry: recordings, and the anomaly score of every row.
//!
//! ```text
//! row -> Windows -> (detector graph) -> surprise -> Scorer -> score -> Alarms -> alarms
//! ```
//!
//! Every step looks at the row and those before it only, and keeps a bounded memory of them: whether rows come
//! one by one or all at once, the same rows give the same scores and alarms. A score of 1 and more is an alarm.

mod alarm;
pub mod recording;
mod score;
mod window;

pub use alarm::{Alarm, AlarmEvent, Alarms};
pub use score::{Detected, Levels, Score, Scorer, Surprise, surprise};
pub use window::Windows;
