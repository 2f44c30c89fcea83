//! Training the [`Autoencoder`] on Fashion-MNIST: to restore images from their codes, and, so that its
//! encoder learns what things look like, to restore images of which it sees a part only, under noise
//! (Vincent et al. 2010; He et al. 2022).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::Loss;
use super::images::ImageFamily;
use crate::graphs::Exportable;
use crate::nets::autoencoder::{Autoencoder, AutoencoderConfig};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::store::Store;

/// Height and width of what is hidden at once, in pixels.
const PATCH: i64 = 4;
/// The grey that hides it.
const HIDDEN: f64 = 0.5;

/// `[family]` with `kind = "autoencoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderRecipeConfig {
    /// Size of the network.
    pub network: AutoencoderConfig,
    /// Part of every batch that is corrupted before it is encoded; the rest is encoded as it is.
    pub corrupted: f64,
    /// Part of a corrupted image that is hidden, in patches of 4 x 4 pixels.
    pub hidden: f64,
    /// The noise on a corrupted image has a standard deviation uniform in [0, this].
    pub max_sigma: f64,
}

impl AutoencoderRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        self.network.validate()?;
        for (name, value, most) in [
            ("corrupted", self.corrupted, 0.9),
            ("hidden", self.hidden, 1.0),
            ("max_sigma", self.max_sigma, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, {most}]"));
            }
        }
        Ok(())
    }
}

/// The network and how it is trained.
pub(super) struct AutoencoderFamily {
    config: AutoencoderRecipeConfig,
    network: Autoencoder,
}

impl AutoencoderFamily {
    pub(super) fn new(config: &AutoencoderRecipeConfig, store: &mut Store) -> Self {
        Self { config: config.clone(), network: Autoencoder::new(store, &config.network) }
    }

    fn reconstruct(&self, ops: &mut Eager, images: &Tensor) -> Tensor {
        let code = self.network.encode(ops, images);
        let logits = self.network.decode(ops, &code).to_kind(Kind::Float);
        ops.sigmoid(&logits)
    }

    /// The images with patches hidden and noise on them.
    fn corrupt(&self, images: &Tensor) -> Tensor {
        let (n, side) = (images.size()[0], images.size()[2] / PATCH);
        let like = (Kind::Float, images.device());
        let hidden = Tensor::rand([n, 1, side, 1, side, 1], like).lt(self.config.hidden);
        let hidden = hidden.expand([n, 1, side, PATCH, side, PATCH], false).reshape(images.size());
        let sigma = Tensor::rand([n, 1, 1, 1], like) * self.config.max_sigma;
        let noisy = images + images.randn_like() * sigma;
        noisy.masked_fill(&hidden, HIDDEN)
    }
}

fn error(restored: &Tensor, images: &Tensor) -> Tensor {
    (restored - images).square().mean(Kind::Float)
}

impl ImageFamily for AutoencoderFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, step: u64, _epoch: f64) -> Loss {
        let images = if step.is_multiple_of(2) { images.shallow_clone() } else { images.flip([3]) };
        let n = images.size()[0];
        let spoilt = (n as f64 * self.config.corrupted) as i64;
        let whole = n - spoilt;
        if spoilt == 0 {
            return Loss { total: error(&self.reconstruct(ops, &images), &images), parts: Vec::new() };
        }
        let seen = [images.narrow(0, 0, whole), self.corrupt(&images.narrow(0, whole, spoilt))];
        let restored = self.reconstruct(ops, &Tensor::cat(&seen, 0));
        let part = |start, count| error(&restored.narrow(0, start, count), &images.narrow(0, start, count));
        let (clean, corrupted) = (part(0, whole), part(whole, spoilt));
        Loss { total: &clean + &corrupted, parts: vec![("clean", clean), ("corrupted", corrupted)] }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let mean = |seen: &Tensor, ops: &mut Eager| {
            let parts = seen.split(1000, 0);
            let restored: Vec<Tensor> = parts.iter().map(|part| self.reconstruct(ops, part)).collect();
            error(&Tensor::cat(&restored, 0), images).double_value(&[])
        };
        vec![("mse", mean(images, ops)), ("mse_corrupted", mean(&self.corrupt(images), ops))]
    }

    fn draw(&self, images: &Tensor, grid: &mut Grid) {
        let ops = &mut Eager::exact();
        grid.row(&self.reconstruct(ops, images));
        let corrupted = self.corrupt(images);
        grid.row(&corrupted);
        grid.row(&self.reconstruct(ops, &corrupted));
    }
}
