//! Training the [`Denoiser`] on Fashion-MNIST.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::images::ImageFamily;
use super::{Loss, positive};
use crate::graphs::Exportable;
use crate::nets::denoiser::{Denoiser, DenoiserConfig, MAX_SIGMA};
use crate::ops::eager::Eager;
use crate::picture::Grid;
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
        positive("family.network.width", self.network.width)?;
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

/// The network and how it is trained.
pub(super) struct DenoiserFamily {
    config: DenoiserRecipeConfig,
    network: Denoiser,
}

impl DenoiserFamily {
    pub(super) fn new(config: &DenoiserRecipeConfig, store: &mut Store) -> Self {
        Self { config: config.clone(), network: Denoiser::new(store, &config.network) }
    }

    fn denoise(&self, noisy: &Tensor, sigma: f64) -> Tensor {
        let like = (Kind::Float, noisy.device());
        let n = noisy.size()[0];
        let (sigma, known) = (Tensor::full([n], sigma, like), Tensor::ones([n], like));
        self.network.forward(&mut Eager::exact(), noisy, &sigma, &known).clamp(0.0, 1.0)
    }
}

/// Mean square error of each image, `[n]`.
fn errors(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float)
}

impl ImageFamily for DenoiserFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, step: u64, _epoch: f64) -> Loss {
        let n = images.size()[0];
        let like = (Kind::Float, images.device());
        let clean = if step.is_multiple_of(2) { images.shallow_clone() } else { images.flip([3]) };
        let sigma = Tensor::rand([n], like) * self.config.max_sigma;
        let noisy = &clean + clean.randn_like() * sigma.reshape([n, 1, 1, 1]);
        let chance = |p: f64| Tensor::rand([n], like).lt(p);
        let limited = chance(self.config.limited).reshape([n, 1, 1, 1]);
        let noisy = noisy.clamp(0.0, 1.0).where_self(&limited, &noisy);
        let known = chance(self.config.blind).logical_not().to_kind(Kind::Float);
        let sigma = sigma * &known;
        let restored = self.network.forward(ops, &noisy, &sigma, &known).to_kind(Kind::Float);
        // The mean over images of the error in decibels: just what is reported, so that every level of noise
        // counts alike.
        let decibels = (errors(&restored, &clean) + self.config.floor).log10() * 10.0;
        Loss { total: decibels.mean(Kind::Float), parts: Vec::new() }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let clean = images.narrow(0, 0, images.size()[0].min(1000));
        LEVELS
            .iter()
            .map(|&(name, sigma)| {
                let noisy = &clean + clean.randn_like() * sigma;
                let psnr = errors(&self.denoise(&noisy, sigma), &clean).log10() * -10.0;
                (name, psnr.mean(Kind::Double).double_value(&[]))
            })
            .collect()
    }

    fn draw(&self, images: &Tensor, grid: &mut Grid) {
        for (_, sigma) in [LEVELS[1], LEVELS[3]] {
            let noisy = images + images.randn_like() * sigma;
            grid.row(&noisy);
            grid.row(&self.denoise(&noisy, sigma));
        }
    }
}
