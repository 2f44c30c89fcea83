//! Training a [`FaceEncoder`] on one half of the faces, by contrast (Chen et al. 2020).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{FaceFamily, Pupils};
use crate::augment::Augmentation;
use crate::data::faces::Batch;
use crate::evaluate::faces::verification::Verifier;
use crate::graphs::Exportable;
use crate::nets::face_encoder::{FaceEncoder, FaceEncoderConfig, directions};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::Loss;
use crate::store::Store;

/// `[family]` with `kind = "face-encoder"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaceEncoderRecipeConfig {
    /// The faces that it learns from.
    pub pupils: Pupils,
    /// Differences of cosines are divided by this before they become chances.
    pub temperature: f64,
    /// How the two copies of a face are changed.
    pub augmentation: Augmentation,
    /// Size of the network.
    pub network: FaceEncoderConfig,
}

impl FaceEncoderRecipeConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        if !(0.01..=10.0).contains(&self.temperature) {
            return Err(format!("family.temperature is {}, it must lie in [0.01, 10]", self.temperature));
        }
        if self.network.embedding == 0 {
            return Err("family.network.embedding must be at least 1".into());
        }
        self.augmentation.validate("family.augmentation")?;
        self.network.trunk.validate("family.network.trunk")
    }
}

/// The network and how it is trained.
pub(in crate::recipe) struct FaceEncoderFamily {
    network: FaceEncoder,
    temperature: f64,
    augmentation: Augmentation,
}

impl FaceEncoderFamily {
    pub(in crate::recipe) fn new(config: &FaceEncoderRecipeConfig, store: &mut Store) -> Self {
        Self {
            network: FaceEncoder::new(store, &config.network),
            temperature: config.temperature,
            augmentation: config.augmentation.clone(),
        }
    }

    /// Embeddings at length 1.
    fn embed(&self, ops: &mut Eager, images: &Tensor) -> Tensor {
        directions(&self.network.forward(ops, images))
    }
}

/// Mean cross-entropy in nats of finding each row's partner among all others by likeness, where row `i` and
/// row `i + n / 2` of `[n, width]` are partners (NT-Xent).
fn contrast(embeddings: &Tensor, temperature: f64) -> Tensor {
    let n = embeddings.size()[0];
    let likeness = embeddings.matmul(&embeddings.tr()) / temperature;
    let itself = Tensor::eye(n, (Kind::Float, embeddings.device())) * 1e9;
    let partner = Tensor::arange(n, (Kind::Int64, embeddings.device())).roll([n / 2], [0]);
    (likeness - itself).cross_entropy_for_logits(&partner)
}

impl FaceFamily for FaceEncoderFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, _step: u64, _turn: usize) -> Loss {
        let copies = [self.augmentation.apply(&faces.images), self.augmentation.apply(&faces.images)];
        let embeddings = self.embed(ops, &Tensor::cat(&copies, 0));
        Loss { total: contrast(&embeddings, self.temperature), parts: Vec::new() }
    }

    /// How many changed copies are told from other faces, where one in a hundred others may pass.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let embeddings = self.embed(ops, &faces.images);
        let copies = self.embed(ops, &self.augmentation.apply(&faces.images));
        let rate = Verifier::new(&embeddings, 0.01).rate(&embeddings, &copies);
        let loss = contrast(&Tensor::cat(&[&embeddings, &copies], 0), self.temperature);
        vec![("verified", rate), ("contrast", loss.double_value(&[]))]
    }

    /// The faces, a changed copy of each, and the other face that each is most like.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        let ops = &mut Eager::exact();
        let embeddings = self.embed(ops, &faces.images);
        let likeness = embeddings.matmul(&embeddings.tr());
        let others = likeness - Tensor::eye(embeddings.size()[0], (Kind::Float, embeddings.device())) * 9.0;
        grid.row(&faces.images);
        grid.row(&self.augmentation.apply(&faces.images));
        grid.row(&faces.images.index_select(0, &others.argmax(1, false)));
    }
}
