//! Training the [`Vae`] on Fashion-MNIST with dynamic binarisation: every time an image is seen, each pixel
//! is drawn as 0 or 1 with its grey value as the chance (Salakhutdinov and Murray 2008).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

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
    /// Codes drawn for an image. With more than one, what is trained is the importance-weighted bound
    /// (Burda, Grosse and Salakhutdinov 2016), which is tighter than the evidence lower bound.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub importance_samples: i64,
}

fn one() -> i64 {
    1
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(n: &i64) -> bool {
    *n == 1
}

/// The most codes for an image: all of them are in memory at once.
const MOST_SAMPLES: i64 = 64;

impl VaeRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        self.network.validate()?;
        if !(1..=MOST_SAMPLES).contains(&self.importance_samples) {
            return Err(format!(
                "family.importance_samples is {}, it must lie in [1, {MOST_SAMPLES}]",
                self.importance_samples
            ));
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

    /// The bound, `weight` being the divergence's.
    fn bound(&self, ops: &mut Eager, image: &Tensor, weight: f64) -> Bound {
        let (samples, n) = (self.config.importance_samples, image.size()[0]);
        let (mean, log_variance) = self.network.encode(ops, image);
        let (mean, log_variance) = (mean.to_kind(Kind::Float), log_variance.to_kind(Kind::Float));
        let width = mean.size()[1];
        let noise = Tensor::randn([samples, n, width], (Kind::Float, image.device()));
        let code = &mean + (&log_variance * 0.5).exp() * &noise;
        let logits = self.network.decode(ops, &code.reshape([samples * n, width]));
        let logits = logits.to_kind(Kind::Float).reshape([samples, n, -1]);
        // The logarithm of the chance of pixels x: x l - ln(1 + e^l).
        let pixels = image.reshape([1, n, -1]);
        let likelihood = (logits.shallow_clone() * pixels - logits.softplus()).sum_dim_intlist(
            [2i64].as_slice(),
            false,
            Kind::Float,
        );
        let reconstruction = -likelihood.mean(Kind::Float);
        let divergence = divergence(&mean, &log_variance);
        let total = if samples == 1 {
            &reconstruction + &divergence * weight
        } else {
            // ln p(z) - ln q(z | x), as drawn.
            let ratio = (noise.square() - code.square() + &log_variance).sum_dim_intlist(
                [2i64].as_slice(),
                false,
                Kind::Float,
            ) * (0.5 * weight);
            (likelihood + ratio).logsumexp([0i64].as_slice(), false).mean(Kind::Float) * -1.0
                + (samples as f64).ln()
        };
        Bound { total, reconstruction, divergence }
    }
}

/// Of normal distributions `[n, width]` from the standard one, in nats: a mean over the `n`.
pub(crate) fn divergence(mean: &Tensor, log_variance: &Tensor) -> Tensor {
    let n = mean.size()[0] as f64;
    (log_variance.exp() + mean.square() - 1.0 - log_variance).sum(Kind::Float) * (0.5 / n)
}

/// Means over images, in nats.
struct Bound {
    /// The bound itself, with the divergence weighted.
    total: Tensor,
    reconstruction: Tensor,
    divergence: Tensor,
}

impl ImageFamily for VaeFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, _step: u64, epoch: f64) -> Loss {
        let weight = (epoch / self.config.divergence_warmup.max(1e-9)).min(1.0);
        let bound = self.bound(ops, &images.bernoulli(), weight);
        Loss {
            total: bound.total,
            parts: vec![("reconstruction", bound.reconstruction), ("divergence", bound.divergence)],
        }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let parts = images.bernoulli().split(1000, 0);
        let bounds: Vec<_> = parts.iter().map(|part| self.bound(&mut Eager::exact(), part, 1.0)).collect();
        let mean = |part: fn(&Bound) -> &Tensor| {
            let values: Vec<f64> = bounds.iter().map(|b| part(b).double_value(&[])).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let divergence = mean(|b| &b.divergence);
        let mut figures =
            vec![("elbo", mean(|b| &b.reconstruction) + divergence), ("divergence", divergence)];
        if self.config.importance_samples > 1 {
            figures.insert(0, ("iwae", mean(|b| &b.total)));
        }
        figures
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
