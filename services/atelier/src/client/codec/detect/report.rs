//! What was found in telemetry: as text, as JSON, and the scores as a file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::{
    Alarm, DetectAnomaliesInRecordingResponse, DetectAnomaliesResponse, RowScore,
};
use atelier_proto::models::v1::ModelVersion;
use atelier_transforms::telemetry::recording::Recording;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::client::model_arg::Answered;
use crate::files::json as parts;

/// Everything that was found.
pub(super) struct Report {
    channel: String,
    model: Option<ModelVersion>,
    /// How many rows there are.
    rows: usize,
    /// Whether their scores are kept.
    keep: bool,
    scores: Vec<RowScore>,
    alarms: Vec<Alarm>,
}

impl Report {
    /// Nothing yet of a stream, which may be without end: the scores of its rows are kept only where they are
    /// asked for.
    pub(super) fn new(channel: &str, keep: bool) -> Self {
        let channel = channel.to_owned();
        Self { channel, model: None, rows: 0, keep, scores: Vec::new(), alarms: Vec::new() }
    }

    /// A whole recording's.
    pub(super) fn of(channel: &str, answer: DetectAnomaliesInRecordingResponse) -> Self {
        let DetectAnomaliesInRecordingResponse { model, scores, alarms } = answer;
        Self { channel: channel.to_owned(), model, rows: scores.len(), keep: true, scores, alarms }
    }

    /// Takes a part of a stream.
    pub(super) fn add(&mut self, answer: DetectAnomaliesResponse) {
        self.model = answer.model;
        self.rows += answer.scores.len();
        if self.keep {
            self.scores.extend(answer.scores);
        }
        for alarm in answer.alarms {
            // One that went on is told again.
            self.alarms.retain(|known| known.first_row != alarm.first_row);
            self.alarms.push(alarm);
        }
    }

    /// The scores of all rows, where they are kept.
    pub(super) fn scores(&self) -> &[RowScore] {
        &self.scores
    }

    /// One line with the counts.
    pub(super) fn summary(&self) -> String {
        let Self { channel, model, rows, alarms, .. } = self;
        let plural = if alarms.len() == 1 { "" } else { "s" };
        let alarms = alarms.len();
        format!("{channel}: {rows} rows, {alarms} alarm{plural} ({})\n", Answered(model.as_ref()))
    }

    /// The counts, and a line for each alarm.
    pub(super) fn text(&self) -> String {
        let mut text = self.summary();
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

/// Where the scores go.
pub(super) struct ScoreFile {
    path: PathBuf,
    npy: bool,
}

impl ScoreFile {
    /// By the file's name.
    ///
    /// # Errors
    /// `Usage` where it ends in neither .csv nor .npy, or is the recording itself.
    pub(super) fn of(path: &Path, recording: &Path) -> Result<Self, Failure> {
        let is = |wanted: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        if !is("csv") && !is("npy") {
            let message = "scores are written as CSV or NPY, so it must end in .csv or .npy";
            return Err(Failure::usage(format!("--output: {}: {message}", path.display())));
        }
        if path.canonicalize().is_ok_and(|path| recording.canonicalize().is_ok_and(|input| input == path)) {
            return Err(Failure::usage(format!("--output: would overwrite the input {}", path.display())));
        }
        Ok(Self { path: path.to_owned(), npy: is("npy") })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its content: a row for each row, with the total, range, prediction and reconstruction score.
    pub(super) fn bytes(&self, scores: &[RowScore]) -> Vec<u8> {
        let values = || scores.iter().map(|s| [s.total, s.range, s.prediction, s.reconstruction]);
        if self.npy {
            let recording = Recording::new(4, values().flatten().collect());
            return recording.map(|recording| recording.to_npy()).unwrap_or_default();
        }
        let mut text = String::from("row,total,range,prediction,reconstruction\n");
        for (row, [total, range, prediction, reconstruction]) in values().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{row},{total},{range},{prediction},{reconstruction}");
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    fn part(total: f32, alarms: Vec<Alarm>) -> DetectAnomaliesResponse {
        let score = RowScore { total, prediction: total, ..Default::default() };
        DetectAnomaliesResponse { scores: vec![score], alarms, ..Default::default() }
    }

    fn going(last_row: u64, ended: bool) -> Alarm {
        Alarm { first_row: 0, last_row, peak: 1.5, ended }
    }

    #[test]
    fn an_alarm_that_goes_on_is_told_again_and_counted_once() {
        let mut report = Report::new("P-1", true);
        let (first, second) = (part(1.5, vec![going(0, false)]), part(1.25, vec![going(1, true)]));
        assert_eq!(events(&first), "alarm in rows 0 to 0 goes on, peak 1.50\n");
        assert_eq!(events(&second), "alarm in rows 0 to 1 is over, peak 1.50\n");
        report.add(first);
        report.add(second);
        let text = report.text();
        assert_eq!(text, "P-1: 2 rows, 1 alarm (unnamed)\n  rows 0 to 1  peak 1.50  by prediction\n");
        assert_eq!(report.json()["scores"][1]["total"], json!(1.25));
    }

    #[test]
    fn the_scores_of_a_stream_are_counted_and_kept_only_where_they_are_asked_for() {
        for (keep, kept) in [(true, 3), (false, 0)] {
            let mut report = Report::new("P-1", keep);
            (0..3).for_each(|_| report.add(part(0.5, Vec::new())));
            assert_eq!(report.summary(), "P-1: 3 rows, 0 alarms (unnamed)\n");
            assert_eq!(report.scores().len(), kept);
        }
    }

    #[test]
    fn scores_are_written_as_csv_or_npy() {
        let scores = [RowScore { total: 2.0, range: 2.0, prediction: 0.5, reconstruction: 0.0 }];
        let file = |name: &str| ScoreFile::of(Path::new(name), Path::new("r.csv"));
        let csv = file("s.csv").unwrap().bytes(&scores);
        assert_eq!(csv, b"row,total,range,prediction,reconstruction\n0,2,2,0.5,0\n");
        let npy = Recording::read(&file("s.npy").unwrap().bytes(&scores)).unwrap();
        assert_eq!((npy.columns(), npy.values()), (4, &[2.0, 2.0, 0.5, 0.0][..]));
        assert_eq!(file("s.txt").map(|_| ()).unwrap_err().exit(), Exit::Usage);
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("r.csv");
        std::fs::write(&input, "1,0\n").unwrap();
        assert!(
            ScoreFile::of(&input, &input).map(|_| ()).unwrap_err().to_string().contains("would overwrite")
        );
    }
}
