//! What was found in telemetry, as text and as JSON.

use std::fmt::Write;

use atelier_proto::codec::v1::{
    Alarm, DetectAnomaliesInRecordingResponse, DetectAnomaliesResponse, RowScore,
};
use atelier_proto::models::v1::ModelVersion;
use serde_json::{Value, json};

use crate::client::model_arg::Answered;
use crate::files::json as parts;

/// Everything that was found in a whole recording.
pub(super) struct Report {
    channel: String,
    model: Option<ModelVersion>,
    scores: Vec<RowScore>,
    alarms: Vec<Alarm>,
}

impl Report {
    /// The answer for a channel.
    pub(super) fn of(channel: &str, answer: DetectAnomaliesInRecordingResponse) -> Self {
        let DetectAnomaliesInRecordingResponse { model, scores, alarms } = answer;
        Self { channel: channel.to_owned(), model, scores, alarms }
    }

    /// The scores of all rows.
    pub(super) fn scores(&self) -> &[RowScore] {
        &self.scores
    }

    /// The counts, and a line for each alarm.
    pub(super) fn text(&self) -> String {
        let (rows, alarms) = (self.scores.len(), self.alarms.len());
        let mut text = summary(&self.channel, rows, alarms, self.model.as_ref());
        for alarm in &self.alarms {
            let (first, last, peak) = (alarm.first_row, alarm.last_row, alarm.peak);
            let end = if alarm.ended { "" } else { ", goes on" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  rows {first} to {last}  peak {peak:.2}  by {}{end}", self.cause(alarm));
        }
        text
    }

    /// Which part of the score is the greatest where the alarm is.
    fn cause(&self, alarm: &Alarm) -> &'static str {
        let from = usize::try_from(alarm.first_row).unwrap_or(usize::MAX);
        let to = usize::try_from(alarm.last_row).unwrap_or(usize::MAX);
        let rows = self.scores.get(from..=to.min(self.scores.len().saturating_sub(1))).unwrap_or_default();
        let greatest = rows.iter().max_by(|a, b| a.total.total_cmp(&b.total));
        match greatest {
            Some(row) if row.range >= row.total => "range",
            Some(row) if row.prediction >= row.total => "prediction",
            _ => "reconstruction",
        }
    }

    /// Everything.
    pub(super) fn json(&self) -> Value {
        json!({
            "channel": self.channel,
            "model": parts::model(self.model.as_ref()),
            "alarms": self.alarms.iter().map(alarm).collect::<Vec<_>>(),
            "scores": self.scores.iter().map(score).collect::<Vec<_>>(),
        })
    }
}

/// One line with the counts.
pub(super) fn summary(channel: &str, rows: usize, alarms: usize, model: Option<&ModelVersion>) -> String {
    let plural = if alarms == 1 { "" } else { "s" };
    format!("{channel}: {rows} rows, {alarms} alarm{plural} ({})\n", Answered(model))
}

/// One answer of a stream.
pub(super) fn line(answer: &DetectAnomaliesResponse) -> Value {
    json!({
        "model": parts::model(answer.model.as_ref()),
        "first_row": answer.first_row,
        "alarms": answer.alarms.iter().map(alarm).collect::<Vec<_>>(),
        "scores": answer.scores.iter().map(score).collect::<Vec<_>>(),
    })
}

/// The alarms of one answer of a stream, a line each; no line where there is none.
pub(super) fn events(answer: &DetectAnomaliesResponse) -> String {
    let mut text = String::new();
    for Alarm { first_row, last_row, peak, ended } in &answer.alarms {
        let what = if *ended { "is over" } else { "goes on" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "alarm in rows {first_row} to {last_row} {what}, peak {peak:.2}");
    }
    text
}

fn alarm(alarm: &Alarm) -> Value {
    json!({
        "first_row": alarm.first_row,
        "last_row": alarm.last_row,
        "peak": parts::number(alarm.peak),
        "ended": alarm.ended,
    })
}

fn score(score: &RowScore) -> Value {
    json!({
        "total": parts::number(score.total),
        "range": parts::number(score.range),
        "prediction": parts::number(score.prediction),
        "reconstruction": parts::number(score.reconstruction),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_told_with_their_cause_and_an_answer_of_a_stream_with_what_becomes_of_them() {
        let score = |total| RowScore { total, prediction: total, ..Default::default() };
        let alarm = |ended| Alarm { first_row: 0, last_row: 1, peak: 1.5, ended };
        let answer = |ended| DetectAnomaliesInRecordingResponse {
            scores: vec![score(1.5), score(1.25)],
            alarms: vec![alarm(ended)],
            ..Default::default()
        };
        let text = Report::of("P-1", answer(true)).text();
        assert_eq!(text, "P-1: 2 rows, 1 alarm (unnamed)\n  rows 0 to 1  peak 1.50  by prediction\n");
        assert!(Report::of("P-1", answer(false)).text().ends_with("  by prediction, goes on\n"));
        assert_eq!(Report::of("P-1", answer(true)).json()["scores"][1]["total"], json!(1.25));
        let events =
            |ended| events(&DetectAnomaliesResponse { alarms: vec![alarm(ended)], ..Default::default() });
        assert_eq!(events(false), "alarm in rows 0 to 1 goes on, peak 1.50\n");
        assert_eq!(events(true), "alarm in rows 0 to 1 is over, peak 1.50\n");
    }
}
