//! Training the [`Vae`] on Fashion-MNIST with dynamic binarisation: every time an image is seen, each pixel
//! is drawn as 0 or 1 with its grey value as the chance (Salakhutdinov and Murray 2008).

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use super::Loss;
use super::images::ImageFamily;
use crate::graphs::Exportable;
use crate::nets::vae::{Vae, VaeConfig};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::picture::Grid;
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

/// The network and how it is trained.
pub(super) struct VaeFamily {
    config: VaeRecipeConfig,
    network: Vae,
}

impl VaeFamily {
    pub(super) fn new(config: &VaeRecipeConfig, store: &mut Store) -> Self {
        Self { config: config.clone(), network: Vae::new(store, &config.network) }
    }

    /// Reconstruction and divergence, each a mean over images in nats.
    fn bound(&self, ops: &mut Eager, image: &Tensor) -> (Tensor, Tensor) {
        let n = image.size()[0] as f64;
        let (mean, log_variance) = self.network.encode(ops, image);
        let (mean, log_variance) = (mean.to_kind(Kind::Float), log_variance.to_kind(Kind::Float));
        let code = &mean + (&log_variance * 0.5).exp() * mean.randn_like();
        let logits = self.network.decode(ops, &code).to_kind(Kind::Float);
        let reconstruction =
            logits.binary_cross_entropy_with_logits::<Tensor>(image, None, None, Reduction::Sum);
        let divergence = (log_variance.exp() + mean.square() - 1.0 - &log_variance).sum(Kind::Float) * 0.5;
        (reconstruction / n, divergence / n)
    }
}

impl ImageFamily for VaeFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, _step: u64, epoch: f64) -> Loss {
        let (reconstruction, divergence) = self.bound(ops, &images.bernoulli());
        let weight = (epoch / self.config.divergence_warmup.max(1e-9)).min(1.0);
        Loss {
            total: &reconstruction + &divergence * weight,
            parts: vec![("reconstruction", reconstruction), ("divergence", divergence)],
        }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let (reconstruction, divergence) = self.bound(&mut Eager::exact(), &images.bernoulli());
        let value = |t: Tensor| t.double_value(&[]);
        let divergence = value(divergence);
        vec![("elbo", value(reconstruction) + divergence), ("divergence", divergence)]
    }

    fn draw(&self, images: &Tensor, grid: &mut Grid) {
        let ops = &mut Eager::exact();
        let (mean, _) = self.network.encode(ops, images);
        let logits = self.network.decode(ops, &mean);
        grid.row(&ops.sigmoid(&logits));
        for _ in 0..3 {
            let logits = self.network.decode(ops, &mean.randn_like());
            grid.row(&ops.sigmoid(&logits));
        }
    }
}
