//! The rows of a recording: of a file at once, of stdin as they come.

use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use atelier_proto::codec::v1::TelemetryRow;
use atelier_transforms::telemetry::recording::Recording;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use crate::cli::failure::Failure;
use crate::files::input;

/// Lines that may wait while the server scores those before them.
const WAITING: usize = 64;

/// All rows of a file or of stdin.
///
/// # Errors
/// `BadInput` where it cannot be read or is no recording.
pub(super) fn all(path: &Path) -> Result<Vec<TelemetryRow>, Failure> {
    let wrong = |error| Failure::bad_input(format!("{}: {error}", path.display()));
    Ok(messages(&Recording::read(&input::bytes(path)?).map_err(wrong)?))
}

fn messages(recording: &Recording) -> Vec<TelemetryRow> {
    recording.rows().map(|row| TelemetryRow { values: row.to_vec() }).collect()
}

/// Rows on their way into a stream.
pub(super) enum Rows {
    /// All there are, in messages of so many.
    All(Vec<TelemetryRow>, usize),
    /// As they are read, by a thread of its own: reading stdin would hold up everything else.
    Lines(mpsc::Receiver<Result<TelemetryRow, Failure>>),
}

/// What went wrong while rows were read.
#[derive(Clone, Default)]
pub(super) struct Wrong(Arc<Mutex<Option<Failure>>>);

impl Wrong {
    /// The failure, if there was one.
    pub(super) fn take(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, failure: Failure) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

impl Rows {
    /// All rows, `chunk` in a message.
    pub(super) fn of(rows: Vec<TelemetryRow>, chunk: usize) -> Self {
        Self::All(rows, chunk.max(1))
    }

    /// The lines of stdin.
    ///
    /// # Errors
    /// `Usage` where it is a terminal.
    pub(super) fn from_stdin() -> Result<Self, Failure> {
        if stdin().is_terminal() {
            return Err(Failure::usage("nothing to read: name a file, or pipe it in"));
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        // It ends with its input, or when nobody takes rows any more; the program does not wait for it.
        std::thread::spawn(move || {
            for row in lines(stdin().lock()) {
                if sender.blocking_send(row).is_err() {
                    return;
                }
            }
        });
        Ok(Self::Lines(receiver))
    }

    /// The rows in messages. What cannot be read ends the stream, and then lies in the second.
    pub(super) fn into_stream(self) -> (BoxStream<'static, Vec<TelemetryRow>>, Wrong) {
        let wrong = Wrong::default();
        let rows = match self {
            Self::All(rows, chunk) => {
                let chunks: Vec<Vec<TelemetryRow>> = rows.chunks(chunk).map(<[_]>::to_vec).collect();
                stream::iter(chunks).boxed()
            }
            Self::Lines(receiver) => {
                let wrong = wrong.clone();
                let next = move |mut receiver: mpsc::Receiver<Result<TelemetryRow, Failure>>| {
                    let wrong = wrong.clone();
                    async move {
                        match receiver.recv().await? {
                            Ok(row) => Some((vec![row], receiver)),
                            Err(failure) => {
                                wrong.set(failure);
                                None
                            }
                        }
                    }
                };
                stream::unfold(receiver, next).boxed()
            }
        };
        (rows, wrong)
    }
}

/// The rows of CSV, line by line: a first line without numbers has the columns' names, empty lines are left out.
fn lines(reader: impl BufRead) -> impl Iterator<Item = Result<TelemetryRow, Failure>> {
    let mut first = true;
    reader.lines().enumerate().filter_map(move |(number, line)| {
        let named = |error: String| Failure::bad_input(format!("-: line {}: {error}", number + 1));
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => return Some(Err(named(error.to_string()))),
        };
        let was_first = std::mem::take(&mut first);
        match Recording::from_csv(&line) {
            Ok(recording) => Some(Ok(TelemetryRow { values: recording.values().to_vec() })),
            Err(_) if was_first => None,
            Err(_) => Some(Err(named("is no row of numbers with commas between them".into()))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rows_until_one_is_none() {
        let text = "value,command\n1,0\n\n0.5,1\n0.5;1\n";
        let mut rows = lines(text.as_bytes());
        let mut next = || rows.next().unwrap().map(|row| row.values);
        assert_eq!(next(), Ok(vec![1.0, 0.0]));
        assert_eq!(next(), Ok(vec![0.5, 1.0]));
        assert!(next().unwrap_err().to_string().starts_with("-: line 5: is no row of numbers"));
    }

    #[tokio::test]
    async fn a_file_goes_in_messages_of_so_many_rows() {
        let row = |value| TelemetryRow { values: vec![value] };
        let (rows, wrong) = Rows::of(vec![row(1.0), row(2.0), row(3.0)], 2).into_stream();
        let messages: Vec<_> = rows.collect().await;
        assert_eq!(messages, [vec![row(1.0), row(2.0)], vec![row(3.0)]]);
        assert!(wrong.take().is_none());
    }
}
