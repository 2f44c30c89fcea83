//! Training the [`Inpainter`] on Fashion-MNIST with holes of all kinds.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::images::ImageFamily;
use super::{Loss, positive};
use crate::data::holes::Hole;
use crate::graphs::{Exportable, Graphs};
use crate::nets::inpainter::{Inpainter, InpainterConfig};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::random;
use crate::store::Store;

/// `[family]` with `kind = "inpainter"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InpainterRecipeConfig {
    /// Size of the network.
    pub network: InpainterConfig,
    /// Part of the training holes that are the square in the middle.
    pub centre: f64,
    /// Part of them that are rectangles; the rest are strokes.
    pub rectangles: f64,
}

impl InpainterRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.network.size != 28 {
            return Err("family.network.size must be 28, the size of the data's images".into());
        }
        positive("family.network.width", self.network.width)?;
        for (name, value) in [("centre", self.centre), ("rectangles", self.rectangles)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 1]"));
            }
        }
        if self.centre + self.rectangles > 1.0 {
            return Err("family.centre and family.rectangles are more than 1 together".into());
        }
        Ok(())
    }
}

/// The network and how it is trained.
pub(super) struct InpainterFamily {
    config: InpainterRecipeConfig,
    seed: u64,
    network: Inpainter,
}

impl InpainterFamily {
    pub(super) fn new(config: &InpainterRecipeConfig, seed: u64, store: &mut Store) -> Self {
        Self { config: config.clone(), seed, network: Inpainter::new(store, &config.network) }
    }

    /// A hole for each of `n` images; its kind is drawn by `kind`.
    fn holes(&self, images: &Tensor, words: &[u64], kind: impl Fn(f64) -> Hole) -> Tensor {
        let side = self.config.network.size;
        let mut rng = random::generator(words);
        let mut masks = Vec::with_capacity(images.numel());
        for _ in 0..images.size()[0] {
            let hole = kind(random::unit(&mut rng));
            masks.extend(hole.draw(side, &mut rng));
        }
        Tensor::from_slice(&masks).reshape(images.size()).to_device(images.device())
    }

    fn fill(&self, images: &Tensor, masks: &Tensor) -> Tensor {
        let (images, masks) = (images.split(500, 0), masks.split(500, 0));
        let fill = |(image, mask): (&Tensor, &Tensor)| {
            let inputs = [image.shallow_clone(), mask.shallow_clone()];
            self.network.run("inpainter", &mut Eager::exact(), &inputs).remove(0)
        };
        Tensor::cat(&images.iter().zip(&masks).map(fill).collect::<Vec<_>>(), 0)
    }
}

/// Mean square error inside the holes.
fn error(filled: &Tensor, images: &Tensor, masks: &Tensor) -> Tensor {
    ((filled - images).square() * masks).sum(Kind::Float) / masks.sum(Kind::Float)
}

impl ImageFamily for InpainterFamily {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn loss(&self, ops: &mut Eager, images: &Tensor, step: u64, _epoch: f64) -> Loss {
        let images = if step.is_multiple_of(2) { images.shallow_clone() } else { images.flip([3]) };
        let (centre, rectangles) = (self.config.centre, self.config.rectangles);
        let masks = self.holes(&images, &[self.seed, random::AUGMENT, step], |u| match u {
            u if u < centre => Hole::Centre,
            u if u < centre + rectangles => Hole::Rectangles,
            _ => Hole::Strokes,
        });
        let guess = self.network.predict(ops, &images, &masks).to_kind(Kind::Float);
        let error = error(&guess, &images, &masks);
        let decibels = error.log10() * -10.0;
        Loss { total: error, parts: vec![("psnr", decibels)] }
    }

    fn validate(&self, images: &Tensor) -> Vec<(&'static str, f64)> {
        let images = images.narrow(0, 0, images.size()[0].min(2000));
        let names = ["psnr_centre", "psnr_rectangles", "psnr_strokes"];
        names
            .into_iter()
            .zip(Hole::ALL)
            .map(|(name, hole)| {
                let masks = self.holes(&images, &[self.seed, random::VALIDATION], |_| hole);
                let error = error(&self.fill(&images, &masks), &images, &masks).double_value(&[]);
                (name, -10.0 * error.log10())
            })
            .collect()
    }

    fn draw(&self, images: &Tensor, grid: &mut Grid) {
        for hole in Hole::ALL {
            let masks = self.holes(images, &[self.seed, random::VALIDATION], |_| hole);
            grid.row(&(images * (&masks * -1.0 + 1.0) + &masks * 0.5));
            grid.row(&self.fill(images, &masks));
        }
    }
}
