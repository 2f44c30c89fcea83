//! How anomalous a row is.

use atelier_package::{Telemetry, TelemetryChannel};

/// What the detector's graph gave for one window of `T` rows.
#[derive(Debug, Clone, Copy)]
pub struct Detected<'a> {
    /// The window's values as they were restored, `T`.
    pub reconstruction: &'a [f32],
    /// The scale of each one's error, `T`.
    pub reconstruction_scale: &'a [f32],
    /// The last value as it was foretold.
    pub prediction: f32,
    /// The scale of its error.
    pub prediction_scale: f32,
}

/// How far the last row of a window is from what was expected, in the scales of the errors that were expected.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Surprise {
    /// Of the prediction.
    pub prediction: f64,
    /// Of the recent rows' reconstruction, their mean.
    pub reconstruction: f64,
}

/// The surprise of a window, `[T, columns]` row after row as the detector took it; `recent` as in
/// [`Telemetry::recent`].
pub fn surprise(window: &[f32], columns: usize, recent: usize, detected: &Detected<'_>) -> Surprise {
    let values = || window.iter().step_by(columns.max(1));
    let scaled = |value: f32, expected: f32, scale: f32| {
        f64::from((value - expected).abs()) / f64::from(scale.max(f32::MIN_POSITIVE))
    };
    let last = values().next_back().copied().unwrap_or_default();
    let restored = values().zip(detected.reconstruction).zip(detected.reconstruction_scale);
    let errors =
        restored.rev().take(recent).map(|((value, expected), scale)| scaled(*value, *expected, *scale));
    Surprise {
        prediction: scaled(last, detected.prediction, detected.prediction_scale),
        reconstruction: errors.sum::<f64>() / recent.max(1) as f64,
    }
}

/// Averages of the surprise up to a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels {
    /// Of the predictions.
    pub prediction: f64,
    /// Of the reconstructions.
    pub reconstruction: f64,
}

/// How anomalous a row is, and by what. From 1 on each part is an alarm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// How far the value is beyond its range in training, in margins; 0 within.
    pub range: f32,
    /// How badly the values were foretold lately; 0 where there was no detector to ask.
    pub prediction: f32,
    /// How badly the window could be restored lately; 0 where there was no detector to ask.
    pub reconstruction: f32,
}

impl Score {
    /// The greatest of the parts.
    pub fn total(&self) -> f32 {
        self.range.max(self.prediction).max(self.reconstruction)
    }
}

/// Scores the rows of one channel, one after the other.
#[derive(Debug, Clone)]
pub struct Scorer {
    clip: f64,
    margin: f64,
    /// Of the newest prediction and of the newest reconstruction.
    weights: [f64; 2],
    channel: TelemetryChannel,
    levels: Levels,
}

impl Scorer {
    /// For a channel of the table; nothing has been seen of it yet.
    pub fn new(table: &Telemetry, channel: &TelemetryChannel) -> Self {
        Self {
            clip: table.clip,
            margin: table.margin,
            weights: [table.prediction_span, table.reconstruction_span].map(|span| 2.0 / (span as f64 + 1.0)),
            channel: channel.clone(),
            levels: Levels::default(),
        }
    }

    /// The averages up to the last row.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// Scores the next row: its value (column 0), finite, and the surprise of the window that ends with it,
    /// where there is one.
    pub fn push(&mut self, value: f32, surprise: Option<Surprise>) -> Score {
        let value = f64::from(value).clamp(-self.clip, self.clip);
        let [low, high] = self.channel.range;
        let range = (low - value).max(value - high).max(0.0) / self.margin;
        let mut score = Score { range: range as f32, ..Score::default() };
        if let Some(surprise) = surprise {
            let [prediction, reconstruction] = self.weights;
            self.levels.prediction += prediction * (surprise.prediction - self.levels.prediction);
            self.levels.reconstruction +=
                reconstruction * (surprise.reconstruction - self.levels.reconstruction);
        }
        if let Some(limits) = self.channel.limits {
            score.prediction = (self.levels.prediction / limits.prediction) as f32;
            score.reconstruction = (self.levels.reconstruction / limits.reconstruction) as f32;
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use atelier_package::ErrorLimits;

    use super::*;

    fn table(limits: Option<ErrorLimits>) -> Telemetry {
        let channel = TelemetryChannel { name: "A".into(), range: [0.0, 1.0], limits };
        Telemetry {
            columns: 2,
            clip: 4.0,
            recent: 2,
            prediction_span: 3,
            reconstruction_span: 1,
            margin: 0.1,
            merge: 5,
            channels: vec![channel],
        }
    }

    #[test]
    fn a_surprise_is_counted_in_the_scales_that_were_expected() {
        let window = [0.5, 1.0, 0.25, 0.0, 1.0, 1.0];
        let detected = Detected {
            reconstruction: &[9.0, 0.5, 0.5],
            reconstruction_scale: &[0.1, 0.5, 0.125],
            prediction: 0.5,
            prediction_scale: 0.25,
        };
        let found = surprise(&window, 2, 2, &detected);
        assert_eq!(found, Surprise { prediction: 2.0, reconstruction: (0.5 + 4.0) / 2.0 });
    }

    #[test]
    fn a_value_beyond_its_range_is_an_alarm_from_the_margin_on_whatever_the_detector_says() {
        for limits in [None, Some(ErrorLimits { prediction: 2.0, reconstruction: 2.0 })] {
            let table = table(limits);
            let mut scorer = Scorer::new(&table, &table.channels[0]);
            for (value, expected) in [(0.0, 0.0), (1.0, 0.0), (1.05, 0.5), (-0.2, 2.0), (2000.0, 30.0)] {
                let score = scorer.push(value, None);
                assert!((score.total() - expected).abs() < 1e-5, "{value}: {score:?}");
            }
        }
    }

    #[test]
    fn surprise_is_averaged_and_held_against_its_limit() {
        let table = table(Some(ErrorLimits { prediction: 2.0, reconstruction: 4.0 }));
        let mut scorer = Scorer::new(&table, &table.channels[0]);
        let surprise = Some(Surprise { prediction: 8.0, reconstruction: 8.0 });
        let first = scorer.push(0.5, surprise);
        assert_eq!((first.prediction, first.reconstruction, first.total()), (2.0, 2.0, 2.0));
        assert_eq!(scorer.push(0.5, surprise).prediction, 3.0);
        assert_eq!(scorer.push(0.5, Some(Surprise::default())).prediction, 1.5);
        assert_eq!(scorer.levels(), Levels { prediction: 3.0, reconstruction: 0.0 });
    }

    #[test]
    fn a_channel_that_stood_still_in_training_is_judged_by_its_range_alone() {
        let table = table(None);
        let mut scorer = Scorer::new(&table, &table.channels[0]);
        let surprise = Some(Surprise { prediction: 1e6, reconstruction: 1e6 });
        assert_eq!(scorer.push(0.5, surprise).total(), 0.0);
    }
}
