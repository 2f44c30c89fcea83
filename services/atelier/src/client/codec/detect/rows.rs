//! The rows of a recording: of a file at once, of stdin as they come.

use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atelier_proto::codec::v1::TelemetryRow;
use atelier_transforms::telemetry::recording::{Recording, is_header};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use crate::cli::failure::{Exit, Failure};
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
    Lines(mpsc::Receiver<Result<(usize, TelemetryRow), Failure>>),
}

/// What went into a stream. Clones share it.
#[derive(Clone)]
pub(super) struct Sent(Arc<Mutex<State>>);

struct State {
    /// Where the rows of each message come from that has no answer yet, the oldest first; none for `start`.
    unanswered: VecDeque<Option<String>>,
    /// What went wrong while rows were read.
    wrong: Option<Failure>,
}

impl Sent {
    fn start() -> Self {
        Self(Arc::new(Mutex::new(State { unanswered: VecDeque::from([None]), wrong: None })))
    }

    /// One more message has its answer.
    pub(super) fn answered(&self) {
        self.state().unanswered.pop_front();
    }

    /// What was wrong with the input, if anything.
    pub(super) fn wrong(&self) -> Option<Failure> {
        self.state().wrong.take()
    }

    /// Why a stream ended that was refused: because of what is wrong with the input, or else as the server says,
    /// with the place in the input that it says it of.
    pub(super) fn failure(&self, refused: Failure) -> Failure {
        let mut state = self.state();
        match (state.wrong.take(), state.unanswered.front()) {
            (Some(wrong), _) => wrong,
            (None, Some(Some(place))) if refused.exit() == Exit::BadInput => refused.about(place),
            _ => refused,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The rows in messages, to be sent after `start`. What cannot be read ends the stream, and then lies in the
    /// second.
    pub(super) fn into_stream(self) -> (BoxStream<'static, Vec<TelemetryRow>>, Sent) {
        let sent = Sent::start();
        let rows = match self {
            Self::All(rows, chunk) => {
                let message = |(at, rows): (usize, &[TelemetryRow])| {
                    let first = at * chunk;
                    (format!("rows {first} to {}", first + rows.len() - 1), rows.to_vec())
                };
                stream::iter(rows.chunks(chunk).enumerate().map(message).collect::<Vec<_>>()).boxed()
            }
            Self::Lines(receiver) => {
                let sent = sent.clone();
                let next = move |mut receiver: mpsc::Receiver<Result<(usize, TelemetryRow), Failure>>| {
                    let sent = sent.clone();
                    async move {
                        match receiver.recv().await? {
                            Ok((line, row)) => Some(((format!("-: line {line}"), vec![row]), receiver)),
                            Err(failure) => {
                                sent.state().wrong = Some(failure);
                                None
                            }
                        }
                    }
                };
                stream::unfold(receiver, next).boxed()
            }
        };
        let sending = sent.clone();
        let rows = rows.map(move |(place, rows)| {
            sending.state().unanswered.push_back(Some(place));
            rows
        });
        (rows.boxed(), sent)
    }
}

/// The rows of CSV, line by line, with the numbers of the lines from 1: a first line that begins with a name has the
/// columns' names, empty lines are left out.
fn lines(reader: impl BufRead) -> impl Iterator<Item = Result<(usize, TelemetryRow), Failure>> {
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
            Ok(recording) => Some(Ok((number + 1, TelemetryRow { values: recording.values().to_vec() }))),
            Err(_) if was_first && is_header(&line) => None,
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
        let mut next = || rows.next().unwrap().map(|(line, row)| (line, row.values));
        assert_eq!(next(), Ok((2, vec![1.0, 0.0])));
        assert_eq!(next(), Ok((4, vec![0.5, 1.0])));
        assert!(next().unwrap_err().to_string().starts_with("-: line 5: is no row of numbers"));
    }

    #[test]
    fn a_first_line_with_a_number_in_it_is_a_row_and_no_names() {
        let mut rows = lines("0.5,x,1\n0.5,0,1\n".as_bytes());
        let first = rows.next().unwrap().unwrap_err().to_string();
        assert!(first.starts_with("-: line 1: is no row of numbers"), "{first}");
    }

    #[tokio::test]
    async fn a_file_goes_in_messages_of_so_many_rows() {
        let row = |value| TelemetryRow { values: vec![value] };
        let (rows, sent) = Rows::of(vec![row(1.0), row(2.0), row(3.0)], 2).into_stream();
        let messages: Vec<_> = rows.collect().await;
        assert_eq!(messages, [vec![row(1.0), row(2.0)], vec![row(3.0)]]);
        assert!(sent.wrong().is_none());
        // Each answer is to the oldest message without one, the first of which is `start`.
        let refused = || sent.failure(Failure::bad_input("has 1 number")).to_string();
        for place in ["", "rows 0 to 1: ", "rows 2 to 2: ", ""] {
            assert_eq!(refused(), format!("{place}has 1 number"));
            sent.answered();
        }
    }

    #[tokio::test]
    async fn a_line_that_is_refused_is_told_by_its_number_unless_another_could_not_be_read() {
        let (sender, receiver) = mpsc::channel(4);
        for row in lines("value\n\n0.5\n0.5,x\n".as_bytes()) {
            sender.send(row).await.unwrap();
        }
        drop(sender);
        let (mut rows, sent) = Rows::Lines(receiver).into_stream();
        assert_eq!(rows.next().await, Some(vec![TelemetryRow { values: vec![0.5] }]));
        sent.answered();
        let refused = || sent.failure(Failure::bad_input("has 1 number")).to_string();
        assert_eq!(refused(), "-: line 3: has 1 number");
        assert_eq!(rows.next().await, None);
        assert!(refused().starts_with("-: line 4: is no row of numbers"));
    }
}
