//! Training the [`Denoiser`] on Fashion-MNIST.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig};
use crate::data::DataError;
use crate::data::fashion::Fashion;
use crate::graphs::Exportable;
use crate::nets::denoiser::{Denoiser, DenoiserConfig, MAX_SIGMA};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// `[family]` with `kind = "denoising-autoencoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DenoiserRecipeConfig {
    /// Size of the network.
    pub network: DenoiserConfig,
    /// Noise levels are uniform in [0, this], on the scale where pixels lie in [0, 1].
    pub max_sigma: f64,
    /// Part of the samples whose level the network is not told.
    pub blind: f64,
    /// Part of the samples limited to [0, 1] after the noise, as any picture file is.
    pub limited: f64,
    /// The error under which a better picture earns nothing more, as mean square.
    pub floor: f64,
}

impl DenoiserRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.network.size != 28 {
            return Err("family.network.size must be 28, the size of the data's images".into());
        }
        if !(0.0..=MAX_SIGMA).contains(&self.max_sigma) {
            return Err(format!("family.max_sigma is {}, it must lie in [0, {MAX_SIGMA}]", self.max_sigma));
        }
        for (name, value) in [("blind", self.blind), ("limited", self.limited)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 1]"));
            }
        }
        if self.floor > 0.0 { Ok(()) } else { Err("family.floor must be above 0".into()) }
    }
}

/// The levels that validation looks at.
const LEVELS: [(&str, f64); 4] =
    [("psnr_25", 25.0 / 255.0), ("psnr_50", 50.0 / 255.0), ("psnr_0.3", 0.3), ("psnr_0.5", 0.5)];

/// The family's part of a run.
pub struct DenoiserRecipe {
    config: DenoiserRecipeConfig,
    seed: u64,
    store: Store,
    network: Denoiser,
    data: Fashion,
    order: Order,
}

impl DenoiserRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &DenoiserRecipeConfig,
        data: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let data = Fashion::read(data, "train")?;
        let mut store = Store::new(common.seed, device);
        let network = Denoiser::new(&mut store, &config.network);
        let order = Order::new(common.seed, data.training_count() as usize, common.batch);
        Ok(Self { config: config.clone(), seed: common.seed, store, network, data, order })
    }

    fn denoise(&self, noisy: &Tensor, sigma: f64) -> Tensor {
        let like = (Kind::Float, noisy.device());
        let n = noisy.size()[0];
        let (sigma, known) = (Tensor::full([n], sigma, like), Tensor::ones([n], like));
        tch::no_grad(|| self.network.forward(&mut Eager::inference(), noisy, &sigma, &known).clamp(0.0, 1.0))
    }
}

/// Mean square error of each image, `[n]`.
fn errors(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float)
}

impl Recipe for DenoiserRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.network
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

    fn loss(&mut self, step: u64) -> Loss {
        let device = self.store.device();
        let clean = self.data.batch(self.order.batch(step), device);
        let n = clean.size()[0];
        let like = (Kind::Float, device);
        let clean = if step % 2 == 0 { clean } else { clean.flip([3]) };
        let sigma = Tensor::rand([n], like) * self.config.max_sigma;
        let noisy = &clean + clean.randn_like() * sigma.reshape([n, 1, 1, 1]);
        let chance = |p: f64| Tensor::rand([n], like).lt(p);
        let limited = chance(self.config.limited).reshape([n, 1, 1, 1]);
        let noisy = noisy.clamp(0.0, 1.0).where_self(&limited, &noisy);
        let known = chance(self.config.blind).logical_not().to_kind(Kind::Float);
        let sigma = sigma * &known;
        let restored = self.network.forward(&mut Eager::training(), &noisy, &sigma, &known);
        // The mean over images of the error in decibels: just what is reported, so that every level of noise
        // counts alike.
        let decibels = (errors(&restored, &clean) + self.config.floor).log10() * 10.0;
        Loss { total: decibels.mean(Kind::Float), parts: Vec::new() }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let start = self.data.training_count();
        let clean = self.data.range(start, (self.data.len() - start).min(1000), self.store.device());
        random::seed_torch(&[self.seed, random::VALIDATION]);
        LEVELS
            .iter()
            .map(|&(name, sigma)| {
                let noisy = &clean + clean.randn_like() * sigma;
                let psnr = errors(&self.denoise(&noisy, sigma), &clean).log10() * -10.0;
                (name, psnr.mean(Kind::Double).double_value(&[]))
            })
            .collect()
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let clean = self.data.range(self.data.training_count(), 12, self.store.device());
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let mut grid = Grid::new(12);
        grid.row(&clean);
        for (_, sigma) in [LEVELS[1], LEVELS[3]] {
            let noisy = &clean + clean.randn_like() * sigma;
            grid.row(&noisy);
            grid.row(&self.denoise(&noisy, sigma));
        }
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
