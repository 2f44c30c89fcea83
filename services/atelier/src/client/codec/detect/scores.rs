//! The scores of rows as a file: CSV or NPY.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::RowScore;
use atelier_transforms::telemetry::recording::Recording;

use crate::cli::failure::Failure;
use crate::files::whole;

/// The names of the columns, and of the number of the row before them.
const HEADER: &str = "row,total,range,prediction,reconstruction\n";

/// Where the scores go: a row for each row, with the total, range, prediction and reconstruction score.
pub(super) struct ScoreFile {
    path: PathBuf,
    npy: bool,
}

impl ScoreFile {
    /// By the file's name.
    ///
    /// # Errors
    /// `Usage` where it ends in neither .csv nor .npy, and as [`whole::prepare`].
    pub(super) fn of(path: &Path, recording: &Path) -> Result<Self, Failure> {
        let is = |wanted: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        if !is("csv") && !is("npy") {
            let message = "scores are written as CSV or NPY, so it must end in .csv or .npy";
            return Err(Failure::usage(format!("--output: {}: {message}", path.display())));
        }
        whole::prepare(path, &[recording.to_owned()])?;
        Ok(Self { path: path.to_owned(), npy: is("npy") })
    }

    /// Writes the scores of all rows.
    ///
    /// # Errors
    /// As [`whole::write`].
    pub(super) fn write(&self, scores: &[RowScore]) -> Result<(), Failure> {
        let bytes = match self.npy {
            true => npy(scores),
            false => format!("{HEADER}{}", csv(0, scores)).into_bytes(),
        };
        whole::write(&self.path, &bytes)
    }

    /// For the scores of a stream.
    pub(super) fn stream(self) -> ScoreStream {
        ScoreStream { file: self, csv: None, rows: 0, scores: Vec::new() }
    }
}

/// The scores of a stream, which may be without end and may end badly. CSV is written as they come; NPY, which begins
/// with how many there are, at the end.
pub(super) struct ScoreStream {
    file: ScoreFile,
    /// There from the first row on: what was there before is kept until then.
    csv: Option<File>,
    /// How many are in it.
    rows: usize,
    /// What is to become NPY.
    scores: Vec<RowScore>,
}

impl ScoreStream {
    /// Takes the next ones.
    ///
    /// # Errors
    /// `Other`, naming the file, where it cannot be written.
    pub(super) fn add(&mut self, scores: &[RowScore]) -> Result<(), Failure> {
        if self.file.npy {
            self.scores.extend_from_slice(scores);
            return Ok(());
        }
        if scores.is_empty() {
            return Ok(());
        }
        self.append(scores).map_err(|e| whole::failed(&self.file.path, &e))
    }

    fn append(&mut self, scores: &[RowScore]) -> std::io::Result<()> {
        let rows = csv(self.rows, scores);
        self.rows += scores.len();
        match &mut self.csv {
            Some(file) => file.write_all(rows.as_bytes()),
            csv => {
                let file = csv.insert(File::create(&self.file.path)?);
                file.write_all(format!("{HEADER}{rows}").as_bytes())
            }
        }
    }

    /// Writes what is not written yet; nothing where there was no row.
    ///
    /// # Errors
    /// As [`whole::write`].
    pub(super) fn close(self) -> Result<(), Failure> {
        if self.scores.is_empty() { Ok(()) } else { self.file.write(&self.scores) }
    }
}

fn values(scores: &[RowScore]) -> impl Iterator<Item = [f32; 4]> {
    scores.iter().map(|s| [s.total, s.range, s.prediction, s.reconstruction])
}

fn npy(scores: &[RowScore]) -> Vec<u8> {
    // Whole rows of four: it is a recording.
    let recording = Recording::new(4, values(scores).flatten().collect());
    recording.map(|recording| recording.to_npy()).unwrap_or_default()
}

/// The rows, the first of them of this number.
fn csv(first: usize, scores: &[RowScore]) -> String {
    let mut text = String::new();
    for (row, [total, range, prediction, reconstruction]) in (first..).zip(values(scores)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{row},{total},{range},{prediction},{reconstruction}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    const SCORE: RowScore = RowScore { total: 2.0, range: 2.0, prediction: 0.5, reconstruction: 0.0 };

    #[test]
    fn scores_are_written_as_csv_or_npy() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let file = |name: &str| ScoreFile::of(&path(name), Path::new("r.csv"));
        file("s.csv").unwrap().write(&[SCORE]).unwrap();
        let csv = std::fs::read_to_string(path("s.csv")).unwrap();
        assert_eq!(csv, "row,total,range,prediction,reconstruction\n0,2,2,0.5,0\n");
        file("s.npy").unwrap().write(&[SCORE]).unwrap();
        let npy = Recording::read(&std::fs::read(path("s.npy")).unwrap()).unwrap();
        assert_eq!((npy.columns(), npy.values()), (4, &[2.0, 2.0, 0.5, 0.0][..]));
    }

    #[test]
    fn where_scores_cannot_go_is_refused_before_there_are_any() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("r.csv");
        std::fs::write(&input, "1,0\n").unwrap();
        for (output, exit, words) in [
            ("r.csv", Exit::Usage, "would overwrite"),
            ("s.txt", Exit::Usage, "must end in .csv or .npy"),
            ("no/s.csv", Exit::Other, "is no directory"),
        ] {
            let refused = ScoreFile::of(&directory.path().join(output), &input).map(|_| ()).unwrap_err();
            assert!(refused.exit() == exit && refused.to_string().contains(words), "{refused}");
        }
    }

    #[test]
    fn csv_of_a_stream_is_written_as_it_comes_and_npy_at_the_end_and_nothing_before_the_first_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let stream = |name: &str| ScoreFile::of(&path(name), Path::new("-")).unwrap().stream();
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        std::fs::write(path("s.csv"), "before").unwrap();
        let mut csv = stream("s.csv");
        csv.add(&[]).unwrap();
        assert_eq!(read("s.csv"), "before");
        csv.add(&[SCORE]).unwrap();
        assert_eq!(read("s.csv"), "row,total,range,prediction,reconstruction\n0,2,2,0.5,0\n");
        csv.add(&[SCORE]).unwrap();
        assert!(read("s.csv").ends_with("\n0,2,2,0.5,0\n1,2,2,0.5,0\n"));

        stream("none.npy").close().unwrap();
        assert!(!path("none.npy").exists());
        let mut npy = stream("s.npy");
        npy.add(&[SCORE]).unwrap();
        npy.add(&[SCORE]).unwrap();
        npy.close().unwrap();
        assert_eq!(Recording::read(&std::fs::read(path("s.npy")).unwrap()).unwrap().len(), 2);
    }
}
