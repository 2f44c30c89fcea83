//! WAV files, one channel of 16-bit samples.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::data::DataError;

const FULL: f32 = 32768.0;

/// Reads a file's samples, in [-1, 1).
///
/// # Errors
/// Names the file if it cannot be read, or is not one channel of 16 bits at `sample_rate`.
pub fn read(path: &Path, sample_rate: u32) -> Result<Vec<f32>, DataError> {
    let failed = |e: hound::Error| match e {
        hound::Error::IoError(source) => DataError::Read { path: path.to_owned(), source },
        other => DataError::malformed(path, other.to_string()),
    };
    let mut reader = WavReader::open(path).map_err(failed)?;
    let spec = reader.spec();
    if spec != of(sample_rate) {
        let message = format!(
            "{} channels of {} bits at {} Hz, but one of 16 bits at {sample_rate} Hz is right",
            spec.channels, spec.bits_per_sample, spec.sample_rate
        );
        return Err(DataError::malformed(path, message));
    }
    reader.samples::<i16>().map(|sample| sample.map(|x| f32::from(x) / FULL).map_err(failed)).collect()
}

/// Writes samples; what lies outside of [-1, 1) is clipped.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write(path: &Path, samples: &[f32], sample_rate: u32) -> anyhow::Result<()> {
    let write = || -> Result<(), hound::Error> {
        let mut writer = WavWriter::create(path, of(sample_rate))?;
        for x in samples {
            // A cast from f32 saturates.
            writer.write_sample((x * FULL).round() as i16)?;
        }
        writer.finalize()
    };
    write().map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
}

fn of(sample_rate: u32) -> WavSpec {
    WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_clipped_at_full_scale() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        write(&path, &[0.0, 0.5, -0.25, 3.0, -3.0], 8000).unwrap();
        assert_eq!(read(&path, 8000).unwrap(), [0.0, 0.5, -0.25, 32767.0 / 32768.0, -1.0]);
        let error = read(&path, 16000).unwrap_err().to_string();
        assert!(error.contains("a.wav") && error.contains("at 8000 Hz, but"), "{error}");
    }

    #[test]
    fn a_file_that_is_cut_off_or_no_wav_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.wav");
        write(&path, &[0.1; 1000], 8000).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for part in [&bytes[..500], &bytes[..20], b"hello"] {
            std::fs::write(&path, part).unwrap();
            assert!(read(&path, 8000).unwrap_err().to_string().contains("cut.wav"));
        }
    }
}
