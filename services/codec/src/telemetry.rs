//! What is anomalous in telemetry: the rows of one channel, one after the other.

mod fields;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use atelier_chassis::models::graph::{run, unfit};
use atelier_chassis::{Deadline, ServiceError, models};
use atelier_engine::{Engine, Model, TensorData};
use atelier_package::{Dim, Kind};
use atelier_proto::codec::v1 as api;
use atelier_transforms::telemetry::{
    AlarmEvent, Alarms, Detected, Score, Scorer, Surprise, Windows, surprise,
};

pub(crate) use fields::recording;
pub(crate) use stream::stream;

/// Kinds that find anomalies.
const KINDS: [Kind; 1] = [Kind::Anomaly];
/// Windows that are given to the detector together. What a stream holds is bounded by it: a window of 100 rows
/// of 55 numbers is 22 kB.
const CHUNK: usize = 64;

/// A channel that is being watched: what its rows so far have left behind.
pub(crate) struct Watch {
    pub(crate) model: Arc<Model>,
    deadline: Option<Instant>,
    channel: i64,
    columns: usize,
    window: usize,
    recent: usize,
    /// Whether the value ever changed in training.
    learned: bool,
    windows: Windows,
    scorer: Scorer,
    alarms: Alarms,
    rows: u64,
}

/// What some rows came to.
pub(crate) struct Watched {
    pub(crate) first_row: u64,
    pub(crate) scores: Vec<api::RowScore>,
    pub(crate) alarms: Vec<api::Alarm>,
}

impl Watch {
    /// For a channel of the model that a request means; `field` is the path of the request's channel.
    pub(crate) fn new(
        engine: &Engine,
        (name, version): (&str, u32),
        (field, channel): (&str, &str),
        deadline: Option<Deadline>,
    ) -> Result<Self, ServiceError> {
        let model = models::resolve(engine, name, version, &KINDS)?;
        tracing::debug!(model = %model.name(), version = %model.version(), channel, "chose a model");
        let table = model.manifest().telemetry.as_ref();
        let table = table.ok_or_else(|| unfit(&model, "it does not say what is normal"))?;
        let window = model.manifest().graph("detector").and_then(|graph| graph.input("window"));
        let Some([_, Dim::Fixed(window), _]) = window.map(|spec| spec.shape.as_slice()) else {
            return Err(unfit(&model, "its windows are not of a fixed size"));
        };
        if channel.is_empty() {
            let example = table.channels.first().map_or("", |channel| channel.name.as_str());
            let message = format!("is empty, but the name of a channel, such as {example:?}, is right");
            return Err(ServiceError::invalid(field, message));
        }
        let Some((id, normal)) = table.channel(channel) else {
            let known = table.channels.iter().map(|channel| channel.name.as_str());
            return Err(ServiceError::not_found("channel", fields::shorten(channel), known));
        };
        Ok(Self {
            deadline: deadline.map(Deadline::instant),
            // Far fewer than an i64 can count.
            channel: id as i64,
            columns: table.columns,
            window: *window,
            recent: table.recent,
            learned: normal.limits.is_some(),
            windows: Windows::new(*window, table.columns, table.clip),
            scorer: Scorer::new(table, normal),
            alarms: Alarms::new(table.merge),
            rows: 0,
            model,
        })
    }

    /// Scores the next rows, which lie at `field` of a request.
    pub(crate) async fn push(
        &mut self,
        field: &str,
        rows: &[api::TelemetryRow],
    ) -> Result<Watched, ServiceError> {
        // All of them are looked at before the first is scored: rows are taken together or not at all.
        fields::rows(field, rows, self.columns)?;
        let first_row = self.rows;
        let (mut scores, mut alarms) = (Vec::with_capacity(rows.len()), Vec::new());
        for chunk in rows.chunks(CHUNK) {
            let surprises = self.surprises(chunk).await?;
            for (row, surprise) in chunk.iter().zip(surprises) {
                let value = row.values.first().copied().unwrap_or_default();
                let score = self.scorer.push(value, surprise);
                if let Some(AlarmEvent::Ended(alarm)) = self.alarms.push(score.total()) {
                    alarms.push(message(alarm, true));
                }
                scores.push(row_score(score));
                self.rows += 1;
            }
        }
        alarms.extend(self.alarms.open().filter(|alarm| alarm.last >= first_row).map(|a| message(a, false)));
        Ok(Watched { first_row, scores, alarms })
    }

    /// The alarm that goes on after all rows.
    pub(crate) fn open(&self) -> Option<api::Alarm> {
        self.alarms.open().map(|alarm| message(alarm, false))
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The surprise of each row, where there are enough rows before it.
    async fn surprises(&mut self, rows: &[api::TelemetryRow]) -> Result<Vec<Option<Surprise>>, ServiceError> {
        if !self.learned {
            return Ok(vec![None; rows.len()]);
        }
        let mut windows = Vec::new();
        let whole: Vec<bool> = rows.iter().map(|row| self.windows.push(&row.values, &mut windows)).collect();
        let count = whole.iter().filter(|whole| **whole).count();
        let mut found = match count {
            0 => Vec::new(),
            _ => self.detect(windows, count).await?,
        }
        .into_iter();
        Ok(whole.into_iter().map(|whole| if whole { found.next() } else { None }).collect())
    }

    async fn detect(&self, windows: Vec<f32>, count: usize) -> Result<Vec<Surprise>, ServiceError> {
        let inputs = vec![
            ("window", TensorData::F32(windows.clone())),
            ("channel", TensorData::I64(vec![self.channel; count])),
        ];
        let mut outputs = run(&self.model, "detector", count, inputs, self.deadline).await?;
        let reconstruction = outputs.take("reconstruction")?;
        let reconstruction_scale = outputs.take("reconstruction_scale")?;
        let (prediction, prediction_scale) = (outputs.take("prediction")?, outputs.take("prediction_scale")?);
        let of_window = |values: &[f32]| values.chunks(self.window).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let restored = of_window(&reconstruction).into_iter().zip(of_window(&reconstruction_scale));
        let windows = windows.chunks(self.window * self.columns);
        let surprises: Vec<Surprise> = windows
            .zip(restored)
            .zip(prediction.iter().zip(&prediction_scale))
            .map(|((window, (reconstruction, reconstruction_scale)), (prediction, prediction_scale))| {
                let detected = Detected {
                    reconstruction: &reconstruction,
                    reconstruction_scale: &reconstruction_scale,
                    prediction: *prediction,
                    prediction_scale: *prediction_scale,
                };
                surprise(window, self.columns, self.recent, &detected)
            })
            .collect();
        let finite = |s: &Surprise| s.prediction.is_finite() && s.reconstruction.is_finite();
        match surprises.len() == count && surprises.iter().all(finite) {
            true => Ok(surprises),
            false => Err(unfit(&self.model, "its detector gives values that are no numbers, or too few")),
        }
    }
}

fn row_score(score: Score) -> api::RowScore {
    api::RowScore {
        total: score.total(),
        range: score.range,
        prediction: score.prediction,
        reconstruction: score.reconstruction,
    }
}

fn message(alarm: atelier_transforms::telemetry::Alarm, ended: bool) -> api::Alarm {
    api::Alarm { first_row: alarm.first, last_row: alarm.last, peak: alarm.peak, ended }
}
