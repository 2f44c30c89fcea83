//! What the families that learn from faces share: batches in which every decade of age is as frequent as any
//! other, a validation part, a grid of pictures.

pub mod ager;
mod borrowed;
pub mod encoder;
pub mod judge;
pub mod lessons;
mod likeness;
pub mod novelty;
pub mod sampler;
mod strangers;
pub mod vae_gan;

use std::path::Path;

use atelier_package::{Manifest, Novelty};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::{Loss, Recipe, RecipeConfig, Turn};
use crate::data::DataError;
use crate::data::faces::{Batch, Faces, Part};
use crate::graphs::Exportable;
use crate::ops::eager::{Eager, Precision};
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// Faces in a row of the grid.
pub(super) const COLUMNS: usize = 12;
/// Decades of age that are told apart; the last is without end.
const DECADES: usize = 9;

/// What is trained on. Networks that judge one another learn from different faces.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pupils {
    /// One half of the training faces.
    First,
    /// The other half.
    Second,
    /// All of them.
    Both,
}

/// A family of networks that learns from faces.
pub(super) trait FaceFamily {
    /// The network's graphs.
    fn network(&self) -> &dyn Exportable;
    /// Which states of which other runs it builds upon.
    fn builds_upon(&self) -> &str {
        ""
    }
    /// Minutes in which another run trained what is exported with it.
    fn minutes_before(&self) -> f64 {
        0.0
    }
    /// As [`Recipe::prepare`]; what it makes follows from `seed`.
    fn prepare(&mut self, _seed: u64) -> anyhow::Result<()> {
        Ok(())
    }
    /// Who moves in a step.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ALL]
    }
    /// The loss of a turn, f32, with `ops` in the recipe's precision.
    fn loss(&mut self, ops: &mut Eager, faces: &Batch, step: u64, turn: usize) -> Loss;
    /// Called after a turn's parameters have moved.
    fn after(&mut self, _turn: usize) {}
    /// Figures on faces that are not trained on.
    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)>;
    /// Adds rows of pictures, made from validation faces.
    fn draw(&self, faces: &Batch, grid: &mut Grid);
    /// What is too far from a face, by faces that are not trained on; for packages that refuse it.
    fn novelty(&self, _faces: &Batch) -> Option<Novelty> {
        None
    }
}

/// Such a family's part of a run.
pub(super) struct FaceRecipe<F> {
    family: F,
    seed: u64,
    batch: usize,
    precision: Precision,
    store: Store,
    data: Faces,
    decades: Vec<Vec<usize>>,
    current: Option<(u64, Batch)>,
}

impl<F: FaceFamily> FaceRecipe<F> {
    /// Reads the data and lets `family` make its network.
    pub(super) fn new(
        common: &RecipeConfig,
        data: &Path,
        device: Device,
        pupils: Pupils,
        family: impl FnOnce(&mut Store) -> Result<F, DataError>,
    ) -> Result<Self, DataError> {
        let data = Faces::read(data)?;
        let mut store = Store::new(common.seed, device);
        let family = family(&mut store)?;
        let part = match pupils {
            Pupils::First => Part::First,
            Pupils::Second => Part::Second,
            Pupils::Both => Part::Train,
        };
        let mut decades = vec![Vec::new(); DECADES];
        for index in data.part(part) {
            decades[(data.age(index) as usize / 10).min(DECADES - 1)].push(index);
        }
        decades.retain(|decade| !decade.is_empty());
        let (seed, batch, precision) = (common.seed, common.batch, common.precision);
        Ok(Self { family, seed, batch, precision, store, data, decades, current: None })
    }

    /// A step's faces, from decades drawn with equal chances.
    fn draw_batch(&self, step: u64) -> Batch {
        use rand::Rng;
        let mut rng = random::generator(&[self.seed, random::ORDER, step]);
        let mut below = |n: usize| (rng.next_u64() % n as u64) as usize;
        let indices: Vec<usize> = (0..self.batch)
            .map(|_| {
                let decade = &self.decades[below(self.decades.len())];
                decade[below(decade.len())]
            })
            .collect();
        self.data.batch(&indices, self.store.device())
    }

    /// At most `count` faces of the validation part, from decades in turn. libtorch's generator starts anew.
    fn held_out(&self, count: usize) -> Batch {
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let mut indices = self.data.part(Part::Validation);
        if count < indices.len() {
            indices.sort_by(|&a, &b| self.data.age(a).total_cmp(&self.data.age(b)));
            let pitch = indices.len() / count;
            indices = indices.into_iter().skip(pitch / 2).step_by(pitch).take(count).collect();
        }
        self.data.batch(&indices, self.store.device())
    }
}

impl<F: FaceFamily> Recipe for FaceRecipe<F> {
    fn network(&self) -> &dyn Exportable {
        self.family.network()
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn builds_upon(&self) -> &str {
        self.family.builds_upon()
    }

    fn minutes_before(&self) -> f64 {
        self.family.minutes_before()
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.family.prepare(self.seed)
    }

    fn steps_per_epoch(&self) -> u64 {
        let count: usize = self.decades.iter().map(Vec::len).sum();
        (count / self.batch).max(1) as u64
    }

    fn turns(&self) -> Vec<Turn> {
        self.family.turns()
    }

    fn loss(&mut self, step: u64, turn: usize) -> Loss {
        let faces = match self.current.take() {
            Some((at, faces)) if at == step => faces,
            _ => self.draw_batch(step),
        };
        let loss = self.family.loss(&mut Eager::with(self.precision), &faces, step, turn);
        self.current = Some((step, faces));
        loss
    }

    fn after(&mut self, turn: usize) {
        self.family.after(turn);
    }

    fn complete(&mut self, manifest: &mut Manifest) {
        manifest.novelty = self.family.novelty(&self.held_out(usize::MAX));
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        tch::no_grad(|| self.family.validate(&self.held_out(usize::MAX)))
    }

    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let mut grid = Grid::new(COLUMNS);
        tch::no_grad(|| self.family.draw(&self.held_out(COLUMNS), &mut grid));
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
