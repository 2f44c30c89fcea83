//! Training the [`Autoencoder`] on Fashion-MNIST for the least mean square error.

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

/// `[family]` with `kind = "autoencoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderRecipeConfig {
    /// Size of the network.
    pub network: AutoencoderConfig,
}

impl AutoencoderRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.network.size != 28 {
            return Err("family.network.size must be 28, the size of the data's images".into());
        }
        if self.network.width < 2 || !self.network.width.is_multiple_of(2) {
            return Err("family.network.width must be even and at least 2".into());
        }
        Ok(())
    }
}

/// The network and how it is trained.
pub(super) struct AutoencoderFamily {
    network: Autoencoder,
}

impl AutoencoderFamily {
    pub(super) fn new(config: &AutoencoderRecipeConfig, store: &mut Store) -> Self {
        Self { network: Autoencoder::new(store, &config.network) }
    }

    fn reconstruct(&self, ops: &mut Eager, images: &Tensor) -> Tensor {
        let code = self.network.encode(ops, images);
        let logits = self.network.decode(ops, &code);
        ops.sigmoid(&logits)
    }
}

impl ImageFamily for AutoencoderFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, step: u64, _epoch: f64) -> Loss {
        let images = if step.is_multiple_of(2) { images.shallow_clone() } else { images.flip([3]) };
        let restored = self.reconstruct(ops, &images).to_kind(Kind::Float);
        Loss { total: (restored - images).square().mean(Kind::Float), parts: Vec::new() }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let restored = self.reconstruct(&mut Eager::exact(), images);
        vec![("mse", (restored - images).square().mean(Kind::Double).double_value(&[]))]
    }

    fn draw(&self, images: &Tensor, grid: &mut Grid) {
        grid.row(&self.reconstruct(&mut Eager::exact(), images));
    }
}
