//! TensorBoard event files: a run's figures for a well-known viewer.
//!
//! An event file is a sequence of TFRecords: length, checksum of the length, an `Event` message, checksum of
//! the message; checksums are masked CRC-32C
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use prost::Message;
use serde_json::{Map, Value};

#[allow(missing_docs, unreachable_pub)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/tensorboard.rs"));
}

use proto::{Event, Summary, event, summary};

/// An event file being written.
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Begins a new file in `directory`; a resumed run has several, which TensorBoard joins.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(directory: &Path) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = directory.join(format!("events.out.tfevents.{}.{}", now.as_micros(), std::process::id()));
        let file = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut events = Self { file };
        events.write(0, event::What::FileVersion("brain.Event:2".to_owned()))?;
        Ok(events)
    }

    /// Writes every number of a line of metrics at its `step`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, line: &Map<String, Value>) -> anyhow::Result<()> {
        let step = line.get("step").and_then(Value::as_i64).unwrap_or_default();
        let value = line
            .iter()
            .filter(|(name, _)| *name != "step")
            .filter_map(|(name, value)| {
                Some(summary::Value { tag: name.clone(), simple_value: value.as_f64()? as f32 })
            })
            .collect();
        self.write(step, event::What::Summary(Summary { value }))
    }

    fn write(&mut self, step: i64, what: event::What) -> anyhow::Result<()> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let record = record(&Event { wall_time, step, what: Some(what) }.encode_to_vec());
        self.file.write_all(&record).context("cannot write the TensorBoard events")
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), message, &checksum(message)].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    // Masked, so that a checksum of data that holds checksums stays strong.
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_that_tensorboard_reads() {
        // The first record of any event file, as TensorFlow writes it, less the time.
        let message = Event {
            wall_time: 0.0,
            step: 0,
            what: Some(event::What::FileVersion("brain.Event:2".to_owned())),
        };
        let bytes = record(&message.encode_to_vec());
        assert_eq!(bytes[..8], 15u64.to_le_bytes());
        assert_eq!(&bytes[12..27], b"\x1a\x0dbrain.Event:2");
        // RFC 3720, appendix B.4: the CRC-32C of 32 zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let masked = u32::from_le_bytes(checksum(&[0; 32]));
        assert_eq!(masked.wrapping_sub(0xa282_ead8).rotate_left(15), 0x8a91_36aa);
    }

    #[test]
    fn every_number_of_a_line_is_an_event_at_its_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(dir.path()).unwrap();
        let line = serde_json::json!({"step": 7, "loss": 0.5, "note": "text"});
        events.scalars(line.as_object().unwrap()).unwrap();
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(path).unwrap();
        let first = 16 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let length = u64::from_le_bytes(bytes[first..first + 8].try_into().unwrap()) as usize;
        let event = Event::decode(&bytes[first + 12..first + 12 + length]).unwrap();
        assert_eq!(event.step, 7);
        let value = vec![summary::Value { tag: "loss".into(), simple_value: 0.5 }];
        assert_eq!(event.what, Some(event::What::Summary(Summary { value })));
    }
}
