//! The Free Spoken Digit Dataset (Jackson et al., CC BY-SA 4.0), in its authors' layout: 8 kHz recordings
//! `DIGIT_SPEAKER_INDEX.wav`. Indices 0 to 4 are the official test split. Of the rest about one in eighteen,
//! chosen by the hash of its file's name, is kept for validation.

use std::path::Path;

use atelier_transforms::speech::{MuLaw, Said};
use sha2::{Digest, Sha256};

use super::DataError;
use crate::sound::wav;

/// Samples a second of every recording.
pub const SAMPLE_RATE: u32 = 8000;
/// Digits that are spoken.
pub const DIGITS: usize = 10;
/// Recordings with an index below this are the test split.
const FIRST_TRAIN: u32 = 5;
/// One recording among this many is kept for validation.
const VALIDATION: u64 = 18;
/// What the median of a speaker's peaks becomes.
const LOUDNESS: f64 = 0.5;

/// One recording.
#[derive(Clone, Debug)]
pub struct Clip {
    /// What is said by whom; the speaker by their place in [`Recordings::speakers`].
    pub said: Said,
    /// The samples as they were recorded, in [-1, 1).
    pub samples: Vec<f32>,
}

impl Clip {
    /// Whether it was recorded with 8 bits at most: all of its samples are multiples of 256 of the steps of 16 bits,
    /// so that there are few different ones, and little to be foretold.
    #[must_use]
    pub fn is_coarse(&self) -> bool {
        // Exact: what is multiplied is a whole number over 2^15.
        self.samples.iter().all(|x| (x * 128.0).fract() == 0.0)
    }
}

/// A voice of the data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// As in the files' names.
    pub name: String,
    /// Brings the median of the peaks of the speaker's recordings, those for training and validation, to 0.5.
    /// Speakers differ 14-fold in level.
    pub gain: f64,
}

/// The recordings, each split in the order of digit, speaker and index.
#[derive(Debug)]
pub struct Recordings {
    /// In alphabetic order.
    pub speakers: Vec<Voice>,
    /// For training.
    pub train: Vec<Clip>,
    /// Kept from training, for validation.
    pub validation: Vec<Clip>,
    /// Indices 0 to 4.
    pub test: Vec<Clip>,
}

/// What a file's name says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Title {
    digit: usize,
    speaker: String,
    index: u32,
}

impl Title {
    fn read(stem: &str) -> Option<Self> {
        let mut parts = stem.split('_');
        let (digit, speaker, index) = (parts.next()?, parts.next()?, parts.next()?);
        let digit: usize = digit.parse().ok()?;
        let right = digit < DIGITS && !speaker.is_empty() && parts.next().is_none();
        right.then_some(Self { digit, speaker: speaker.to_owned(), index: index.parse().ok()? })
    }

    fn validates(&self) -> bool {
        let hash = Sha256::digest(format!("{}_{}_{}", self.digit, self.speaker, self.index));
        let number = hash.iter().take(8).fold(0u64, |n, &byte| n << 8 | u64::from(byte));
        number.is_multiple_of(VALIDATION)
    }
}

impl Recordings {
    /// Reads `dir/fsdd/recordings` or, where there is none, `dir/recordings`.
    ///
    /// # Errors
    /// Names the directory or file that is missing or not what it should be.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let inner = dir.join("fsdd/recordings");
        let dir = if inner.is_dir() { inner } else { dir.join("recordings") };
        let read_error = |source| DataError::Read { path: dir.clone(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(read_error)? {
            let path = entry.map_err(read_error)?.path();
            if path.extension().is_none_or(|e| e != "wav") {
                continue;
            }
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            let title = Title::read(stem).ok_or_else(|| {
                DataError::malformed(&path, "is not named DIGIT_SPEAKER_INDEX.wav, with a digit from 0 to 9")
            })?;
            files.push((title, path));
        }
        files.sort();
        let mut names: Vec<String> = files.iter().map(|(title, _)| title.speaker.clone()).collect();
        names.sort();
        names.dedup();

        let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
        let mut peaks: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        for (title, path) in files {
            let samples = wav::read(&path, SAMPLE_RATE)?;
            let speaker = names.binary_search(&title.speaker).unwrap_or_default();
            if title.index >= FIRST_TRAIN {
                peaks[speaker].push(samples.iter().fold(0f32, |m, x| m.max(x.abs())).into());
            }
            let split = match (title.index < FIRST_TRAIN, title.validates()) {
                (true, _) => &mut test,
                (_, true) => &mut validation,
                _ => &mut train,
            };
            split.push(Clip { said: Said { digit: title.digit, speaker }, samples });
        }
        let mut speakers = Vec::new();
        for (name, peaks) in names.into_iter().zip(&mut peaks) {
            let median = median(peaks);
            if median <= 0.0 {
                let message =
                    format!("{name} has no sound in any recording with an index from {FIRST_TRAIN}");
                return Err(DataError::malformed(&dir, message));
            }
            speakers.push(Voice { name, gain: LOUDNESS / median });
        }
        for (split, what) in [(&train, "training"), (&validation, "validation"), (&test, "testing")] {
            if split.is_empty() {
                return Err(DataError::malformed(&dir, format!("there are no recordings for {what}")));
            }
        }
        Ok(Self { speakers, train, validation, test })
    }

    /// The tokens of a recording: its samples, multiplied by the speaker's gain, on the levels of `law`.
    #[must_use]
    pub fn tokens(&self, clip: &Clip, law: &MuLaw) -> Vec<i64> {
        let gain = self.speakers.get(clip.said.speaker).map_or(1.0, |voice| voice.gain);
        clip.samples.iter().map(|&x| law.encode(f64::from(x) * gain) as i64).collect()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_say_digit_speaker_and_index() {
        let title = Title::read("7_theo_36").unwrap();
        assert_eq!(title, Title { digit: 7, speaker: "theo".into(), index: 36 });
        for wrong in ["", "7", "7_theo", "x_theo_1", "10_theo_1", "7_theo_1_2", "7__1", "7_theo_-1"] {
            assert_eq!(Title::read(wrong), None, "{wrong}");
        }
    }

    fn record(dir: &Path, name: &str, peak: f32) {
        let samples: Vec<f32> = (0..400).map(|i| peak * (i as f32 / 7.0).sin()).collect();
        wav::write(&dir.join(name), &samples, SAMPLE_RATE).unwrap();
    }

    #[test]
    fn recordings_are_split_by_index_and_speakers_made_equally_loud() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = dir.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        for index in 0..40 {
            record(&recordings, &format!("3_zoe_{index}.wav"), 0.8);
            record(&recordings, &format!("3_amy_{index}.wav"), 0.05);
        }
        let data = Recordings::read(dir.path()).unwrap();
        assert_eq!(data.speakers.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["amy", "zoe"]);
        assert_eq!((data.test.len(), data.train.len() + data.validation.len()), (10, 70));
        assert!((1..20).contains(&data.validation.len()), "{}", data.validation.len());
        let law = MuLaw::new(256);
        for clip in &data.test {
            let loudest = *data.tokens(clip, &law).iter().max().unwrap() as usize;
            assert!((law.decode(loudest) - 0.5).abs() < 0.02, "{loudest}");
        }
    }

    #[test]
    fn recordings_of_8_bits_are_known_by_their_samples() {
        let clip = |samples: Vec<f32>| Clip { said: Said { digit: 0, speaker: 0 }, samples };
        let coarse: Vec<f32> = (-128..128).map(|i| (i * 256) as f32 / 32768.0).collect();
        assert!(clip(coarse.clone()).is_coarse());
        // One step of 16 bits is enough.
        assert!(!clip([coarse, vec![1.0 / 32768.0]].concat()).is_coarse());
        // Quiet, and so of few levels too, but of 16 bits.
        assert!(!clip((-100..100).map(|i| i as f32 / 32768.0).collect()).is_coarse());
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Recordings::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("recordings") && error.contains("No such"), "{error}");
        let recordings = dir.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        let error = Recordings::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no recordings for training"), "{error}");
        std::fs::write(recordings.join("3_zoe_9.wav"), b"RIFF").unwrap();
        let error = Recordings::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("3_zoe_9.wav"), "{error}");
        std::fs::write(recordings.join("three.wav"), b"").unwrap();
        let error = Recordings::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("three.wav") && error.contains("DIGIT_SPEAKER_INDEX"), "{error}");
    }
}
