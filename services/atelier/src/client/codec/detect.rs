//! `atelier codec detect`.

mod report;
mod rows;
mod scores;
mod tally;

use std::path::PathBuf;

use atelier_proto::codec::v1::detect_anomalies_request::Message;
use atelier_proto::codec::v1::{
    DetectAnomaliesInRecordingRequest, DetectAnomaliesRequest, DetectAnomaliesStart, TelemetryRow,
    TelemetryRows,
};
use futures_util::StreamExt;

use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::input::is_standard;
use crate::files::stdout::Remarks;
use report::Report;
use rows::Rows;
use scores::ScoreFile;
use tally::Tally;

/// The most rows of one message of a stream.
const MESSAGE: usize = 4096;

/// Find what is anomalous in the telemetry of a channel.
///
/// A recording is a CSV or NPY file with a row for each moment: the channel's value and then its commands, as
/// the model was trained on them. Prints the alarms; --output writes the score of every row, where 1 and more
/// is an alarm.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Detect {
    /// A CSV or NPY file; `-` is stdin
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// The channel, such as P-1
    #[arg(long, short, value_name = "NAME")]
    channel: String,
    #[command(flatten)]
    model: ModelArgs,
    /// Send rows as they are read and print alarms as they come; CSV from stdin is sent line by line
    #[arg(long)]
    stream: bool,
    /// How many rows of a file to send together with --stream, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = 64, requires = "stream", value_parser = clap::value_parser!(u32).range(1..=MESSAGE as i64))]
    chunk: u32,
    /// Write the scores of all rows to this file: CSV, with --stream row by row, or NPY where it ends in .npy
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON: one object, or one a message with --stream
    #[arg(long)]
    json: bool,
}

impl Detect {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let scores = self.output.as_deref().map(|path| ScoreFile::of(path, &self.recording)).transpose()?;
        let remarks = Remarks::new(scores.is_some());
        match self.stream {
            true => self.streamed(server, scores, remarks).await,
            false => self.whole(server, scores, remarks).await,
        }
    }

    /// One request with all rows.
    async fn whole(
        &self,
        server: &ServerArgs,
        scores: Option<ScoreFile>,
        mut remarks: Remarks,
    ) -> Result<(), Failure> {
        let rows = rows::all(&self.recording)?;
        let (model, version) = self.model.split();
        let channel = self.channel.clone();
        let request = DetectAnomaliesInRecordingRequest { model, version, channel, rows };
        let connection = Connection::open(server).await?;
        let call = async |c, r| service(c).detect_anomalies_in_recording(r).await;
        let answer = connection.unary(request, call).await?;
        let report = Report::of(&self.channel, answer);
        match self.json {
            true => remarks.line(&report.json().to_string())?,
            false => remarks.text(&report.text())?,
        }
        scores.map_or(Ok(()), |file| file.write(report.scores()))
    }

    /// A stream of rows, answered as they go.
    async fn streamed(
        &self,
        server: &ServerArgs,
        scores: Option<ScoreFile>,
        mut remarks: Remarks,
    ) -> Result<(), Failure> {
        let chunk = usize::try_from(self.chunk).unwrap_or(MESSAGE);
        let rows = match is_standard(&self.recording) {
            true => Rows::from_stdin()?,
            false => Rows::of(rows::all(&self.recording)?, chunk),
        };
        let (model, version) = self.model.split();
        let start = DetectAnomaliesStart { model, version, channel: self.channel.clone() };
        let (rows, sent) = rows.into_stream();
        let start = futures_util::stream::iter([Message::Start(start)]);
        let requests = start
            .chain(rows.map(|rows: Vec<TelemetryRow>| Message::Rows(TelemetryRows { rows })))
            .map(|message| DetectAnomaliesRequest { message: Some(message) });
        let connection = Connection::open(server).await?;
        let mut answers =
            connection.stream(requests, async |c, r| service(c).detect_anomalies(r).await).await?;
        let mut scores = scores.map(ScoreFile::stream);
        let mut tally = Tally::new(&self.channel);
        let ended = async {
            while let Some(answer) = answers.next().await.map_err(|refused| sent.failure(refused))? {
                sent.answered();
                if let Some(scores) = &mut scores {
                    scores.add(&answer.scores)?;
                }
                match self.json {
                    true => remarks.line(&report::line(&answer).to_string())?,
                    false => remarks.text(&report::events(&answer))?,
                }
                tally.add(answer);
            }
            match sent.wrong() {
                Some(failure) => Err(failure),
                None if self.json => Ok(()),
                None => remarks.text(&tally.summary()),
            }
        };
        let ended = ended.await;
        // What was scored before something went wrong is written too.
        let written = scores.map_or(Ok(()), |scores| scores.close());
        ended.and(written)
    }
}
