//! The fields of requests about telemetry, checked.

use atelier_chassis::ServiceError;
use atelier_proto::codec::v1 as api;

use super::Watch;

/// The most rows of a recording.
const RECORDING: usize = 65_536;
/// The most rows of one message of a stream.
const MESSAGE: usize = 4096;

/// Whether each row has as many numbers as the model's have, all finite.
pub(super) fn rows(field: &str, rows: &[api::TelemetryRow], columns: usize) -> Result<(), ServiceError> {
    for (at, api::TelemetryRow { values }) in rows.iter().enumerate() {
        let wrong = |message| Err(ServiceError::invalid(format!("{field}[{at}].values"), message));
        if values.len() != columns {
            let right = format!("the model's rows have {columns}: the value and {} commands", columns - 1);
            return wrong(format!("has {} numbers, but {right}", values.len()));
        }
        if let Some((at, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return wrong(format!("value {at} (counted from 0) is {value}, but finite numbers are right"));
        }
    }
    Ok(())
}

/// Whether so many rows can come in one message of a stream.
pub(super) fn message(field: &str, rows: &[api::TelemetryRow]) -> Result<(), ServiceError> {
    count(field, rows, MESSAGE, "send more messages")
}

/// Whether the rows make a recording of the channel.
pub(crate) fn recording(field: &str, rows: &[api::TelemetryRow], watch: &Watch) -> Result<(), ServiceError> {
    count(field, rows, RECORDING, "longer recordings are for DetectAnomalies")?;
    let value = |row: &api::TelemetryRow| row.values.first().copied();
    let first = rows.first().and_then(value);
    let constant = rows.iter().all(|row| value(row) == first);
    if watch.learned && constant && rows.len() >= watch.window {
        let message = format!(
            "is constant: the value is {} in all {} rows, but in training it changed; the channel's telemetry is right",
            first.unwrap_or_default(),
            rows.len()
        );
        return Err(ServiceError::invalid(field, message));
    }
    Ok(())
}

fn count(field: &str, rows: &[api::TelemetryRow], most: usize, beyond: &str) -> Result<(), ServiceError> {
    match rows.len() {
        0 => Err(ServiceError::invalid(field, format!("is empty, but 1 to {most} rows are right"))),
        n if n > most => {
            let message = format!("has {n} rows, but 1 to {most} are right; {beyond}");
            Err(ServiceError::invalid(field, message))
        }
        _ => Ok(()),
    }
}

/// A name is at most 64 characters long; what is longer is none, and need not be repeated in full.
pub(super) fn shorten(name: &str) -> String {
    name.chars().take(64).collect()
}
