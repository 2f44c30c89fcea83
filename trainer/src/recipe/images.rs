//! What the families that learn from Fashion-MNIST share: batches in random order, a validation part, a grid
//! of pictures.

use std::path::Path;

use tch::{Device, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig};
use crate::data::DataError;
use crate::data::fashion::Fashion;
use crate::graphs::Exportable;
use crate::ops::eager::{Eager, Precision};
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// Images in a row of the grid.
const COLUMNS: i64 = 12;

/// A family of networks that learns from grey images, f32 `[n, 1, 28, 28]` in [0, 1].
pub(super) trait ImageFamily {
    /// The network's graphs.
    fn network(&self) -> &dyn Exportable;
    /// The loss of a batch, f32, with `ops` in the recipe's precision; `step` counts from 0, `epoch` is how many passes came before.
    fn loss(&self, ops: &mut Eager, images: &Tensor, step: u64, epoch: f64) -> Loss;
    /// Figures on images that are not trained on.
    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)>;
    /// Adds rows of pictures made from `images`.
    fn draw(&self, images: &Tensor, grid: &mut Grid);
}

/// Such a family's part of a run.
pub(super) struct ImageRecipe<F> {
    family: F,
    seed: u64,
    precision: Precision,
    store: Store,
    data: Fashion,
    order: Order,
}

impl<F: ImageFamily> ImageRecipe<F> {
    /// Reads the data and lets `family` make its network.
    pub(super) fn new(
        common: &RecipeConfig,
        data: &Path,
        device: Device,
        family: impl FnOnce(&mut Store) -> F,
    ) -> Result<Self, DataError> {
        let data = Fashion::read(data, "train")?;
        let mut store = Store::new(common.seed, device);
        let family = family(&mut store);
        let order = Order::new(common.seed, data.training_count() as usize, common.batch);
        Ok(Self { family, seed: common.seed, precision: common.precision, store, data, order })
    }

    /// At most `count` images of the validation part. libtorch's generator starts anew, so that the noise on
    /// them is the same each time.
    fn held_out(&self, count: i64) -> Tensor {
        let start = self.data.training_count();
        random::seed_torch(&[self.seed, random::VALIDATION]);
        self.data.range(start, count.min(self.data.len() - start), self.store.device())
    }
}

impl<F: ImageFamily> Recipe for ImageRecipe<F> {
    fn network(&self) -> &dyn Exportable {
        self.family.network()
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
        let images = self.data.batch(self.order.batch(step), self.store.device());
        let epoch = step as f64 / self.steps_per_epoch() as f64;
        self.family.loss(&mut Eager::with(self.precision), &images, step, epoch)
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        tch::no_grad(|| self.family.validate(&self.held_out(i64::MAX)))
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let images = self.held_out(COLUMNS);
        let mut grid = Grid::new(images.size()[0] as usize);
        grid.row(&images);
        tch::no_grad(|| self.family.draw(&images, &mut grid));
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
