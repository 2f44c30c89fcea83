//! Training the [`SequenceAutoencoder`] on the normal telemetry of one spacecraft: windows of all channels that
//! move, half the loss for restoring them and half for foretelling each row from those before it.

pub mod calibrate;
mod windows;

use std::convert::Infallible;
use std::path::Path;

use atelier_package::Manifest;
use atelier_transforms::telemetry::recording::Recording;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig, positive};
use crate::data::DataError;
use crate::data::nasa::Spacecraft;
use crate::graphs::{Exportable, Graphs};
use crate::nets::sequence_autoencoder::{Expected, SequenceAutoencoder, SequenceAutoencoderConfig};
use crate::ops::Ops;
use crate::ops::eager::{Eager, to_vec};
use crate::store::Store;
use crate::{plot, random};
use windows::{Batch, Windows};

/// `[family]` with `kind = "sequence-autoencoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryRecipeConfig {
    /// `SMAP` or `MSL`.
    pub spacecraft: String,
    /// Size of the network.
    pub network: SequenceAutoencoderConfig,
    /// Rows from one window to the next.
    pub stride: usize,
    /// The last part of each channel's training telemetry, which is kept to calibrate by.
    pub calibration: f64,
    /// Standard deviation of the noise on the values that the network is given.
    pub noise: f64,
    /// Dropout of the code and of the outputs that foretell.
    pub dropout: f64,
}

impl TelemetryRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, low: f64, high: f64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(format!("family.{name} is {value}, it must lie in [{low}, {high}]")),
        };
        within("calibration", self.calibration, 0.05, 0.5)?;
        within("noise", self.noise, 0.0, 1.0)?;
        within("dropout", self.dropout, 0.0, 0.9)?;
        within("network.least_scale", f64::from(self.network.least_scale), 1e-4, 1.0)?;
        positive("family.stride", self.stride)?;
        positive("family.network.hidden", self.network.hidden)?;
        positive("family.network.code", self.network.code)?;
        positive("family.network.embedding", self.network.embedding)?;
        if self.network.window < 4 {
            return Err("family.network.window must be at least 4".into());
        }
        Ok(())
    }
}

/// The family's part of a run.
pub struct TelemetryRecipe {
    config: TelemetryRecipeConfig,
    seed: u64,
    store: Store,
    network: SequenceAutoencoder,
    names: Vec<String>,
    recordings: Vec<Recording>,
    windows: Windows,
    order: Order,
}

/// Errors of a batch, each a mean over its elements.
struct Errors {
    restored: Tensor,
    foretold: Tensor,
}

impl TelemetryRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &TelemetryRecipeConfig,
        data: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let spacecraft = Spacecraft::read(data, &config.spacecraft)?;
        let recordings = spacecraft.training()?;
        let windows = Windows::new(&recordings, config.network.window, config.stride, config.calibration)
            .map_err(|message| DataError::malformed(spacecraft.directory(), message))?;
        let mut store = Store::new(common.seed, device);
        let network =
            SequenceAutoencoder::new(&mut store, &config.network, windows.columns(), windows.channels());
        let order = Order::new(common.seed, windows.training(), common.batch);
        let names = spacecraft.channels.into_iter().map(|channel| channel.name).collect();
        let (config, seed) = (config.clone(), common.seed);
        Ok(Self { config, seed, store, network, names, recordings, windows, order })
    }

    /// Restores and foretells every row of a batch, all `[batch, time, 1]` but the foretold, which lack the
    /// first row.
    fn run(&self, batch: &Batch, training: bool) -> (Expected<Tensor>, Expected<Tensor>) {
        let ops = &mut Eager::exact();
        let dropout = |x: Tensor| if training { x.dropout(self.config.dropout, true) } else { x };
        let time = self.config.network.window as i64;
        let (value, commands) = (batch.window.narrow(2, 0, 1), batch.window.narrow(2, 1, batch.columns - 1));
        let given = match training {
            true => {
                let noise = value.randn_like() * self.config.noise;
                Tensor::cat(&[&value + noise, commands.shallow_clone()], 2)
            }
            false => batch.window.shallow_clone(),
        };
        let mut encoded = self.network.encode(ops, &given, &batch.channel);
        let code = dropout(self.network.code(ops, &encoded));
        let restored = self.network.decode(ops, &code, &encoded.channel, &commands);
        encoded.outputs = dropout(encoded.outputs);
        let channel = ops.repeat(&encoded.channel, time as usize - 1);
        let foretold = self.network.predict(
            ops,
            &encoded.outputs.narrow(1, 0, time - 1),
            &channel,
            &given.narrow(1, 0, time - 1).narrow(2, 0, 1),
            &commands.narrow(1, 1, time - 1),
            2,
        );
        (restored, foretold)
    }

    /// Nats a value (Laplace), 0 being a value foretold without error by a network as sure as it can be.
    fn errors(&self, batch: &Batch, training: bool) -> Errors {
        let (restored, foretold) = self.run(batch, training);
        let value = batch.window.narrow(2, 0, 1);
        let next = value.narrow(1, 1, self.config.network.window as i64 - 1);
        let least = f64::from(self.config.network.least_scale);
        let nats = |expected: &Expected<Tensor>, value: &Tensor| {
            let error = (&expected.value - value).abs();
            (error / &expected.scale + (&expected.scale / least).log()).mean(Kind::Float)
        };
        Errors { restored: nats(&restored, &value), foretold: nats(&foretold, &next) }
    }
}

impl Recipe for TelemetryRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    /// The channels, and what is normal for each by the training telemetry.
    fn complete(&mut self, manifest: &mut Manifest) {
        let window = self.config.network.window;
        let mut table = calibrate::table(self.windows.columns(), window);
        let mut detector = |rows: &[f32], count: usize, channel: i64| {
            let rows = Tensor::from_slice(rows).reshape([count as i64, window as i64, -1]);
            let channel = Tensor::from_slice(&vec![channel; count]);
            let inputs = [rows, channel].map(|input| input.to_device(self.store.device()));
            let outputs =
                tch::no_grad(|| Graphs::run(&self.network, "detector", &mut Eager::exact(), &inputs));
            Ok::<_, Infallible>(std::array::from_fn(|i| outputs.get(i).map(to_vec).unwrap_or_default()))
        };
        for (at, (name, recording)) in self.names.iter().zip(&self.recordings).enumerate() {
            let id = self.windows.learns(at as i64).then_some(at as i64);
            let Ok(channel) = calibrate::channel(&table, window, name, id, recording, &mut detector);
            table.channels.push(channel);
        }
        manifest.telemetry = Some(table);
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn steps_per_epoch(&self) -> u64 {
        self.order.steps_per_epoch()
    }

    fn loss(&mut self, step: u64, _turn: usize) -> Loss {
        let epoch = step / self.steps_per_epoch();
        let mut rng = random::generator(&[self.seed, random::ORDER, epoch, 1]);
        let shift = self.windows.shift(&mut rng);
        let batch = self.windows.batch(self.order.batch(step), shift, self.store.device());
        let Errors { restored, foretold } = self.errors(&batch, true);
        let total = (&restored + &foretold) * 0.5;
        Loss { total, parts: vec![("restored", restored), ("foretold", foretold)] }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let (mut restored, mut foretold, mut count) = (0.0, 0.0, 0.0);
        tch::no_grad(|| {
            for batch in self.windows.held_out(512, self.store.device()) {
                let errors = self.errors(&batch, false);
                let size = batch.window.size()[0] as f64;
                restored += errors.restored.double_value(&[]) * size;
                foretold += errors.foretold.double_value(&[]) * size;
                count += size;
            }
        });
        let (restored, foretold) = (restored / count, foretold / count);
        vec![("nats", 0.5 * (restored + foretold)), ("restored", restored), ("foretold", foretold)]
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let batch = self.windows.examples(6, self.store.device());
        let (restored, foretold) = tch::no_grad(|| self.run(&batch, false));
        let row = |x: &Tensor, i: i64| to_vec(&x.get(i).reshape([-1]));
        let panels = (0..batch.window.size()[0]).map(|i| {
            let value = row(&batch.window.get(i).narrow(1, 0, 1).unsqueeze(0), 0);
            let foretold = [vec![value[0]], row(&foretold.value, i)].concat();
            plot::Panel { lines: vec![value, row(&restored.value, i), foretold], ..plot::Panel::default() }
        });
        plot::lines(&panels.collect::<Vec<_>>(), &directory.join(format!("{step:07}.png")))
    }
}
