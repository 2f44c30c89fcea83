//! Telemetry of two spacecraft with labelled anomalies (Hundman et al. 2018): channels of the soil-moisture
//! satellite SMAP and of the Mars rover MSL. Column 0 of a channel is its value, scaled to [0, 1] by the range
//! that it has in the training part; the others are commands, 0 or 1.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use atelier_transforms::telemetry::recording::Recording;

use super::{DataError, read};

/// One channel of a spacecraft.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Such as `P-1`.
    pub name: String,
    /// Rows of the anomalies in the test part, in order, both ends included.
    pub anomalies: Vec<RangeInclusive<usize>>,
}

/// The channels of one spacecraft.
#[derive(Clone, Debug)]
pub struct Spacecraft {
    directory: PathBuf,
    /// Sorted by name.
    pub channels: Vec<Channel>,
}

impl Spacecraft {
    /// Reads the list of channels of `SMAP` or `MSL` from `dir/nasa` or `dir` itself.
    ///
    /// # Errors
    /// Names the file that is missing or malformed, and a spacecraft that it does not know.
    pub fn read(dir: &Path, spacecraft: &str) -> Result<Self, DataError> {
        let inner = dir.join("nasa");
        let directory = if inner.is_dir() { inner } else { dir.to_owned() };
        let path = directory.join("labeled_anomalies.csv");
        let text = String::from_utf8(read(&path)?)
            .map_err(|e| DataError::malformed(&path, format!("not UTF-8: {e}")))?;
        // A channel may have several lines (P-2 has the same one twice).
        let mut channels: BTreeMap<String, Vec<RangeInclusive<usize>>> = BTreeMap::new();
        for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
            let wrong = |what: &str| DataError::malformed(&path, format!("line {}: {what}", number + 1));
            let cells = cells(line);
            let [name, craft, anomalies, ..] = cells.as_slice() else {
                return Err(wrong("chan_id, spacecraft and anomaly_sequences are right"));
            };
            if *craft == spacecraft {
                let anomalies = sequences(anomalies).ok_or_else(|| wrong("[[first, last], …] is right"))?;
                channels.entry((*name).to_owned()).or_default().extend(anomalies);
            }
        }
        if channels.is_empty() {
            return Err(DataError::malformed(
                &path,
                format!("no channel of {spacecraft}; there are SMAP and MSL"),
            ));
        }
        let channels = channels.into_iter().map(|(name, mut anomalies)| {
            anomalies.sort_by_key(|range| (*range.start(), *range.end()));
            anomalies.dedup();
            Channel { name, anomalies }
        });
        Ok(Self { directory, channels: channels.collect() })
    }

    /// Where the files lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// One part, `train` or `test`, of a channel.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn recording(&self, channel: &str, part: &str) -> Result<Recording, DataError> {
        let path = self.directory.join(part).join(format!("{channel}.npy"));
        let recording =
            Recording::read(&read(&path)?).map_err(|e| DataError::malformed(&path, e.to_string()))?;
        match recording.values().iter().position(|value| !value.is_finite()) {
            Some(at) => Err(DataError::malformed(&path, format!("value {at} is no finite number"))),
            None => Ok(recording),
        }
    }

    /// The training part of every channel, all of the same columns.
    ///
    /// # Errors
    /// As [`Spacecraft::recording`], and a channel that has other columns than the first.
    pub fn training(&self) -> Result<Vec<Recording>, DataError> {
        let all = self.channels.iter().map(|channel| self.recording(&channel.name, "train"));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let columns = all.first().map_or(0, Recording::columns);
        match all.iter().zip(&self.channels).find(|(recording, _)| recording.columns() != columns) {
            Some((recording, channel)) => {
                let message =
                    format!("{} has {} columns, others {columns}", channel.name, recording.columns());
                Err(DataError::malformed(&self.directory, message))
            }
            None => Ok(all),
        }
    }
}

/// The cells of a line of CSV; commas within double quotes are text.
fn cells(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let split = line.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    split.map(|cell| cell.trim().trim_matches('"')).collect()
}

/// `[[first, last], …]`.
fn sequences(text: &str) -> Option<Vec<RangeInclusive<usize>>> {
    let numbers = text.split(['[', ']', ',', ' ']).filter(|part| !part.is_empty());
    let numbers: Vec<usize> = numbers.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let pairs = numbers.as_chunks::<2>();
    let ordered = pairs.1.is_empty() && pairs.0.iter().all(|[first, last]| first <= last);
    ordered.then(|| pairs.0.iter().map(|[first, last]| *first..=*last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "chan_id,spacecraft,anomaly_sequences,class,num_values
P-2,SMAP,\"[[10, 12], [3, 4]]\",[point],20
M-1,MSL,\"[[1, 2]]\",[contextual],20
P-2,SMAP,\"[[3, 4]]\",[point],20
";

    #[test]
    fn channels_are_listed_once_with_their_anomalies_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("labeled_anomalies.csv"), LINES).unwrap();
        let smap = Spacecraft::read(dir.path(), "SMAP").unwrap();
        assert_eq!(smap.channels.len(), 1);
        assert_eq!(
            (smap.channels[0].name.as_str(), &smap.channels[0].anomalies[..]),
            ("P-2", &[3..=4, 10..=12][..])
        );
        let error = Spacecraft::read(dir.path(), "ISS").unwrap_err().to_string();
        assert!(error.contains("no channel of ISS"), "{error}");
        let error = smap.recording("P-2", "train").unwrap_err().to_string();
        assert!(error.contains("P-2.npy"), "{error}");
        std::fs::write(dir.path().join("labeled_anomalies.csv"), LINES.replace("12]", "2]")).unwrap();
        let error = Spacecraft::read(dir.path(), "SMAP").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("[[first, last], …] is right"), "{error}");
    }
}
