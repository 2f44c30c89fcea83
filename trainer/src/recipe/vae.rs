//! Training the [`Vae`] on Fashion-MNIST with dynamic binarisation: every time an image is seen, each pixel
//! is drawn as 0 or 1 with its grey value as the chance (Salakhutdinov and Murray 2008).

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig};
use crate::data::DataError;
use crate::data::fashion::Fashion;
use crate::graphs::Exportable;
use crate::nets::vae::{Vae, VaeConfig};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// `[family]` with `kind = "variational-autoencoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VaeRecipeConfig {
    /// Size of the network.
    pub network: VaeConfig,
    /// The divergence's weight rises from 0 to 1 over this many epochs.
    pub divergence_warmup: f64,
}

impl VaeRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.network.size != 28 {
            return Err("family.network.size must be 28, the size of the data's images".into());
        }
        if self.divergence_warmup >= 0.0 {
            Ok(())
        } else {
            Err("family.divergence_warmup must be at least 0".into())
        }
    }
}

/// The family's part of a run.
pub struct VaeRecipe {
    config: VaeRecipeConfig,
    seed: u64,
    store: Store,
    network: Vae,
    data: Fashion,
    order: Order,
}

impl VaeRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &VaeRecipeConfig,
        data: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let data = Fashion::read(data, "train")?;
        let mut store = Store::new(common.seed, device);
        let network = Vae::new(&mut store, &config.network);
        let order = Order::new(common.seed, data.training_count() as usize, common.batch);
        Ok(Self { config: config.clone(), seed: common.seed, store, network, data, order })
    }

    /// Reconstruction and divergence, each a mean over images in nats.
    fn bound(&self, image: &Tensor) -> (Tensor, Tensor) {
        let ops = &mut Eager::training();
        let n = image.size()[0] as f64;
        let (mean, log_variance) = self.network.encode(ops, image);
        let code = &mean + (&log_variance * 0.5).exp() * mean.randn_like();
        let logits = self.network.decode(ops, &code);
        let reconstruction =
            logits.binary_cross_entropy_with_logits::<Tensor>(image, None, None, Reduction::Sum);
        let divergence = (log_variance.exp() + mean.square() - 1.0 - &log_variance).sum(Kind::Float) * 0.5;
        (reconstruction / n, divergence / n)
    }
}

impl Recipe for VaeRecipe {
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
        let grey = self.data.batch(self.order.batch(step), self.store.device());
        let image = grey.bernoulli();
        let (reconstruction, divergence) = self.bound(&image);
        let epoch = step as f64 / self.steps_per_epoch() as f64;
        let weight = (epoch / self.config.divergence_warmup.max(1e-9)).min(1.0);
        Loss {
            total: &reconstruction + &divergence * weight,
            parts: vec![("reconstruction", reconstruction), ("divergence", divergence)],
        }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let start = self.data.training_count();
        let grey = self.data.range(start, self.data.len() - start, self.store.device());
        random::seed_torch(&[self.seed, random::VALIDATION]);
        tch::no_grad(|| {
            let (reconstruction, divergence) = self.bound(&grey.bernoulli());
            let value = |t: Tensor| t.double_value(&[]);
            let divergence = value(divergence);
            vec![("elbo", value(reconstruction) + divergence), ("divergence", divergence)]
        })
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let grey = self.data.range(self.data.training_count(), 12, self.store.device());
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let ops = &mut Eager::inference();
        tch::no_grad(|| {
            let mut grid = Grid::new(12);
            grid.row(&grey);
            let (mean, _) = self.network.encode(ops, &grey);
            let logits = self.network.decode(ops, &mean);
            grid.row(&ops.sigmoid(&logits));
            for _ in 0..3 {
                let logits = self.network.decode(ops, &mean.randn_like());
                grid.row(&ops.sigmoid(&logits));
            }
            grid.write(&directory.join(format!("{step:07}.png")))
        })
    }
}
