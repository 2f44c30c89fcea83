//! `[telemetry]`: what rows of telemetry go through before a detector, and what makes an alarm of its errors.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::error::FieldError;
use crate::manifest::spec::{Dim, TensorSpec};
use crate::name::shorten;
use crate::tensor::Dtype;

/// The most channels of a model.
const CHANNELS: usize = 4096;
/// The most rows of a window, and over which errors are averaged or alarms joined.
const ROWS: usize = 65_536;
/// The most columns of a row.
const COLUMNS: usize = 4096;

/// How the telemetry of channels is scored. Everything that has a unit is in that of the channel's value, as
/// the model was trained on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Numbers in a row: the channel's value, then its commands.
    pub columns: usize,
    /// All numbers are limited to `[-clip, clip]` before anything else.
    pub clip: f64,
    /// The errors of the last rows of a window, as many as this, are what its restoration is judged by.
    pub recent: usize,
    /// Errors of predictions are averaged exponentially, with the weight `2 / (span + 1)` for the newest.
    pub prediction_span: usize,
    /// Errors of reconstructions, in the same way.
    pub reconstruction_span: usize,
    /// How far beyond its range a value must be to be an alarm by itself.
    pub margin: f64,
    /// Rows with an alarm that lie at most this many rows apart are one alarm.
    pub merge: usize,
    /// The channels in the order of their ids, none twice.
    #[serde(rename = "channel")]
    pub channels: Vec<TelemetryChannel>,
}

/// What is normal for a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryChannel {
    /// 1 to 64 printable characters.
    pub name: String,
    /// The least and the greatest value in training.
    pub range: [f64; 2],
    /// From where on the detector's errors are an alarm. Absent where the value never changed in training:
    /// nothing could be learned, and only values beyond the range are an alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ErrorLimits>,
}

/// Averaged errors, in scales that the detector expects, from which on they are an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorLimits {
    /// Of the next value as it was foretold.
    pub prediction: f64,
    /// Of the recent rows of the window as they were restored.
    pub reconstruction: f64,
}

impl Telemetry {
    /// The channel of this name, with its id.
    pub fn channel(&self, name: &str) -> Option<(usize, &TelemetryChannel)> {
        self.channels.iter().enumerate().find(|(_, channel)| channel.name == name)
    }

    fn check(&self, window: usize) -> Result<(), FieldError> {
        let wrong =
            |field: &str, message: String| Err(FieldError::new(format!("telemetry.{field}"), message));
        for (field, value) in [("clip", self.clip), ("margin", self.margin)] {
            if !(value.is_finite() && value > 0.0) {
                return wrong(field, format!("is {value}, but a finite number over 0 is right"));
            }
        }
        for (field, value, most) in [
            ("recent", self.recent, window),
            ("prediction_span", self.prediction_span, ROWS),
            ("reconstruction_span", self.reconstruction_span, ROWS),
            ("merge", self.merge, ROWS),
        ] {
            if !(1..=most).contains(&value) {
                return wrong(field, format!("is {value}, but 1 to {most} is right"));
            }
        }
        if self.channels.is_empty() || self.channels.len() > CHANNELS {
            return wrong("channel", format!("there must be 1 to {CHANNELS}"));
        }
        let mut seen = BTreeSet::new();
        for TelemetryChannel { name, range: [low, high], limits } in &self.channels {
            let field = format!("channel.{}", shorten(name));
            let printable = name.chars().all(|c| !c.is_control()) && name.trim() == name;
            if !printable || !(1..=64).contains(&name.chars().count()) {
                return wrong(&field, "must be named by 1 to 64 printable characters".into());
            }
            if !seen.insert(name) {
                return wrong(&field, "is there twice".into());
            }
            if !(low.is_finite() && high.is_finite() && low <= high) {
                let message = "two finite numbers, the lesser first, are right";
                return wrong(&format!("{field}.range"), format!("is [{low}, {high}], but {message}"));
            }
            let positive = |limit: f64| limit.is_finite() && limit > 0.0;
            if limits.is_some_and(|limits| !positive(limits.prediction) || !positive(limits.reconstruction)) {
                return wrong(&format!("{field}.limits"), "must be finite numbers over 0".into());
            }
        }
        Ok(())
    }
}

/// Whether the graph `detector` takes and gives what the table speaks of.
pub(super) fn validate(manifest: &Manifest) -> Result<(), FieldError> {
    let Some(graph) = manifest.graph("detector") else { return Ok(()) };
    let Some(table) = &manifest.telemetry else {
        return Err(FieldError::new(
            "telemetry",
            "must say what the channels are and what is normal for them",
        ));
    };
    let sizes = graph.input("window").map(|spec| (spec.dtype, spec.shape.as_slice()));
    let Some((window, columns)) = sizes.and_then(|sizes| match sizes {
        (Dtype::F32, [batch, Dim::Fixed(time), Dim::Fixed(columns)]) if batch.is_batch() => {
            Some((*time, *columns)).filter(|_| *time <= ROWS && *columns <= COLUMNS)
        }
        _ => None,
    }) else {
        let message =
            format!("must be f32 [batch, time, columns] of at most {ROWS} rows and {COLUMNS} columns");
        return Err(FieldError::new("graph.detector.inputs.window", message));
    };
    table.check(window)?;
    if table.columns != columns {
        let message = format!("is {}, but the detector's windows have {columns}", table.columns);
        return Err(FieldError::new("telemetry.columns", message));
    }
    let is = |spec: Option<&TensorSpec>, dtype, row: &[Dim]| {
        spec.is_some_and(|s| s.dtype == dtype && s.batch_axis() == Some(0) && s.shape.get(1..) == Some(row))
    };
    let last = table.channels.len() - 1;
    let channel = graph.input("channel");
    // Both are whole and small.
    if !is(channel, Dtype::I64, &[]) || channel.and_then(|s| s.range) != Some([0.0, last as f64]) {
        let message = format!("must be i64 [batch] with range [0, {last}], the ids of the channels");
        return Err(FieldError::new("graph.detector.inputs.channel", message));
    }
    if let Some(other) = graph.inputs.iter().find(|s| !matches!(s.name.as_str(), "window" | "channel")) {
        let at = format!("graph.detector.inputs.{}", other.name);
        return Err(FieldError::new(at, "is none of window and channel: nobody would give it"));
    }
    let each = [Dim::Fixed(window)];
    for (name, row) in [
        ("reconstruction", &each[..]),
        ("reconstruction_scale", &each),
        ("prediction", &[]),
        ("prediction_scale", &[]),
    ] {
        if !is(graph.output(name), Dtype::F32, row) {
            let shape = if row.is_empty() { "[batch]".to_owned() } else { format!("[batch, {window}]") };
            return Err(FieldError::new(
                format!("graph.detector.outputs.{name}"),
                format!("must be f32 {shape}"),
            ));
        }
    }
    Ok(())
}
