//! Windows of the training telemetry of all channels of a spacecraft.

use rand::Rng;
use tch::{Device, Tensor};

use atelier_transforms::telemetry::recording::Recording;

use crate::nets::sequence_autoencoder::LIMIT;

/// Windows with their channels.
pub(super) struct Batch {
    /// f32 `[batch, time, columns]`, within the network's limits.
    pub(super) window: Tensor,
    /// i64 `[batch]`.
    pub(super) channel: Tensor,
    /// Columns of a row.
    pub(super) columns: i64,
}

/// One channel's training telemetry.
struct Source {
    id: i64,
    rows: Tensor,
    /// How many rows are trained on; those after them are kept to calibrate by.
    trained: usize,
}

/// Where windows are taken from.
pub(super) struct Windows {
    window: usize,
    stride: usize,
    columns: usize,
    channels: usize,
    sources: Vec<Source>,
    /// Source and first row of each window that is trained on.
    training: Vec<(usize, usize)>,
}

impl Windows {
    /// Of all channels of a spacecraft; those whose value never changes in training are left out, since from them nothing
    /// can be learned.
    ///
    /// # Errors
    /// Nothing is left to learn from.
    pub(super) fn new(
        recordings: &[Recording],
        window: usize,
        stride: usize,
        calibration: f64,
    ) -> Result<Self, String> {
        let columns = recordings.first().map_or(0, Recording::columns);
        let sources: Vec<Source> = recordings
            .iter()
            .enumerate()
            .filter(|(_, recording)| moves(recording))
            .map(|(id, recording)| Source {
                id: id as i64,
                rows: Tensor::from_slice(recording.values())
                    .reshape([-1, columns as i64])
                    .clamp(-f64::from(LIMIT), f64::from(LIMIT)),
                trained: trained(recording.len(), calibration),
            })
            .filter(|source| source.trained >= window + stride)
            .collect();
        if columns < 2 || sources.is_empty() {
            return Err(format!(
                "no channel moves, has commands, and is long enough for windows of {window}"
            ));
        }
        let starts = |(at, source): (usize, &Source)| {
            // The last stride is left for the shift.
            let last = source.trained - window - stride;
            (0..=last).step_by(stride).map(move |start| (at, start)).collect::<Vec<_>>()
        };
        let training = sources.iter().enumerate().flat_map(starts).collect();
        Ok(Self { window, stride, columns, channels: recordings.len(), sources, training })
    }

    /// Columns of a row.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Channels of the spacecraft, also those that are left out.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Whether something is learned of a channel.
    pub(super) fn learns(&self, channel: i64) -> bool {
        self.sources.iter().any(|source| source.id == channel)
    }

    /// Windows that are trained on.
    pub(super) fn training(&self) -> usize {
        self.training.len()
    }

    /// How far the windows of an epoch are moved on, so that all rows come to stand at all places.
    pub(super) fn shift(&self, rng: &mut impl Rng) -> usize {
        (rng.next_u64() % (self.stride as u64 + 1)) as usize
    }

    /// The given windows that are trained on, each `shift` rows further on.
    pub(super) fn batch(&self, indices: &[usize], shift: usize, device: Device) -> Batch {
        let places = indices.iter().map(|&i| self.training[i]).map(|(source, start)| (source, start + shift));
        self.gather(places, device)
    }

    /// The windows of the rows kept from training, in batches of at most `size`; of a channel that has kept fewer than
    /// a window, its last.
    pub(super) fn held_out(&self, size: usize, device: Device) -> Vec<Batch> {
        let places = self.sources.iter().enumerate().flat_map(|(at, source)| {
            let last = source.rows.size()[0] as usize - self.window;
            (source.trained.min(last)..=last).step_by(self.stride).map(move |start| (at, start))
        });
        let places: Vec<_> = places.collect();
        places.chunks(size).map(|places| self.gather(places.iter().copied(), device)).collect()
    }

    /// The last window of each of some channels.
    pub(super) fn examples(&self, count: usize, device: Device) -> Batch {
        let step = self.sources.len().div_ceil(count).max(1);
        let last = |source: &Source| source.rows.size()[0] as usize - self.window;
        let places = self.sources.iter().enumerate().step_by(step).map(|(at, source)| (at, last(source)));
        self.gather(places, device)
    }

    fn gather(&self, places: impl Iterator<Item = (usize, usize)>, device: Device) -> Batch {
        let (windows, channels): (Vec<Tensor>, Vec<i64>) = places
            .map(|(at, start)| {
                let source = &self.sources[at];
                (source.rows.narrow(0, start as i64, self.window as i64), source.id)
            })
            .unzip();
        Batch {
            window: Tensor::stack(&windows, 0).to_device(device),
            channel: Tensor::from_slice(&channels).to_device(device),
            columns: self.columns as i64,
        }
    }
}

/// How many of a channel's `rows` are trained on.
fn trained(rows: usize, calibration: f64) -> usize {
    rows - (rows as f64 * calibration).round() as usize
}

/// Whether a recording's value ever changes.
fn moves(recording: &Recording) -> bool {
    let values = recording.column(0);
    values.iter().any(|value| (value - values[0]).abs() > 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_are_validated_on_have_no_row_that_is_trained_on() {
        // Row i has the value i / 10.
        let rows = (0..30).flat_map(|row| [row as f32 / 10.0, 0.0]).collect();
        let recordings = [Recording::new(2, rows).unwrap()];
        let windows = Windows::new(&recordings, 5, 2, 0.5).unwrap();
        let values = |batch: Batch| batch.window.narrow(2, 0, 1);
        let trained = values(windows.batch(&(0..windows.training()).collect::<Vec<_>>(), 2, Device::Cpu));
        let held_out = windows.held_out(100, Device::Cpu).pop().unwrap();
        assert!(trained.max().double_value(&[]) < 1.45, "{trained}");
        let held_out = values(held_out);
        assert_eq!(held_out.size()[0], 6, "of the 15 rows that are kept, windows of 5, each 2 rows on");
        assert!(held_out.min().double_value(&[]) > 1.45, "{held_out}");
        // Fewer are kept than a window has: the last one.
        let windows = Windows::new(&recordings, 12, 2, 0.2).unwrap();
        assert_eq!(windows.held_out(100, Device::Cpu).pop().unwrap().window.size(), [1, 12, 2]);
    }
}
