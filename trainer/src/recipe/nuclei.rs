//! Training the [`UNet`] on the nuclei for the overlap of its masks with those of the annotators.

mod augment;

use std::path::Path;

use atelier_package::{Curve, Manifest, Segmentation};
use atelier_transforms::segmentation::{Mask, Plane, normalise};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

use super::{Loss, Order, Recipe, RecipeConfig, positive};
use crate::data::DataError;
use crate::data::nuclei::{Nuclei, Nucleus, Part};
use crate::evaluate::overlap::Overlap;
use crate::graphs::Exportable;
use crate::nets::unet::{UNet, UNetConfig};
use crate::ops::eager::{Eager, Precision, to_vec};
use crate::picture::Grid;
use crate::random;
use crate::store::Store;
use augment::AugmentConfig;

/// `[family]` with `kind = "segmentation"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NucleiRecipeConfig {
    /// Size of the network.
    pub network: UNetConfig,
    /// What pictures go through before and after it. The threshold is where the search begins: the one that
    /// is exported is chosen by the validation part.
    pub segmentation: Segmentation,
    /// How crops are varied.
    pub augment: AugmentConfig,
    /// How much more the pixels on either side of a border count in the cross-entropy.
    pub border: f64,
    /// Weight of the overlap (Dice) in the loss, beside the cross-entropy's 1.
    pub overlap: f64,
}

impl NucleiRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let (network, crop) = (&self.network, self.augment.crop);
        if network.widths.is_empty() || network.widths.len() > 6 || network.widths.contains(&0) {
            return Err("family.network.widths must be 1 to 6 numbers of at least 1".into());
        }
        positive("family.network.detail", network.detail)?;
        let multiple = network.multiple();
        for (name, size) in [("network.size", network.size), ("augment.crop", crop)] {
            if size == 0 || !size.is_multiple_of(multiple) {
                return Err(format!("family.{name} is {size}, it must be a multiple of {multiple}"));
            }
        }
        if !(0.0..=100.0).contains(&self.border) || !(0.0..=100.0).contains(&self.overlap) {
            return Err("family.border and family.overlap must lie in [0, 100]".into());
        }
        self.segmentation.validate(network.size).map_err(|e| format!("family.{e}"))?;
        self.augment.validate()
    }
}

/// The family's part of a run.
pub struct NucleiRecipe {
    config: NucleiRecipeConfig,
    seed: u64,
    precision: Precision,
    store: Store,
    network: UNet,
    order: Order,
    /// Linear in brightness, 0 to 1, `[n, 1, h, w]`.
    images: Tensor,
    /// 0 or 1, the same shape.
    masks: Tensor,
    held_out: Vec<Nucleus>,
}

fn stack(planes: &[&[f32]], height: usize, width: usize) -> Tensor {
    Tensor::from_slice(&planes.concat()).reshape([planes.len() as i64, 1, height as i64, width as i64])
}

impl NucleiRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &NucleiRecipeConfig,
        data: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let nuclei = Nuclei::read(data)?;
        let linear = Segmentation { curve: Curve::Linear, ..config.segmentation };
        let (mut images, mut masks) = (Vec::new(), Vec::new());
        let (mut height, mut width) = (0, 0);
        for nucleus in nuclei.part(Part::Training) {
            (height, width) = (nucleus.image.height(), nucleus.image.width());
            images.push(normalise(&nucleus.image, &linear));
            masks.push(nucleus.mask.pixels().iter().map(|p| f32::from(u8::from(*p))).collect::<Vec<_>>());
        }
        let multiple = config.network.multiple();
        if height != width {
            let message = format!("images are {width}x{height}: crops are taken from square ones");
            return Err(DataError::malformed(data, message));
        }
        if height % multiple != 0 || width % multiple != 0 {
            let message = format!("images are {width}x{height}, the network wants multiples of {multiple}");
            return Err(DataError::malformed(data, message));
        }
        let mut config = config.clone();
        config.augment.crop = config.augment.crop.min(height).min(width);
        let mut store = Store::new(common.seed, device);
        let network = UNet::new(&mut store, &config.network);
        let planes: Vec<&[f32]> = images.iter().map(Plane::values).collect();
        let images = stack(&planes, height, width).to_device(device);
        let planes: Vec<&[f32]> = masks.iter().map(Vec::as_slice).collect();
        Ok(Self {
            order: Order::new(common.seed, masks.len(), common.batch),
            masks: stack(&planes, height, width).to_device(device),
            held_out: nuclei.part(Part::Validation).cloned().collect(),
            config,
            seed: common.seed,
            precision: common.precision,
            store,
            network,
            images,
        })
    }

    fn curve(&self, linear: &Tensor) -> Tensor {
        match self.config.segmentation.curve {
            Curve::Linear => linear.shallow_clone(),
            Curve::SquareRoot => linear.sqrt(),
        }
    }

    /// The probabilities of the validation part's pixels, image by image.
    fn probabilities(&self) -> Vec<Plane> {
        let one = |nucleus: &Nucleus| {
            let image = normalise(&nucleus.image, &self.config.segmentation);
            let (height, width) = (image.height(), image.width());
            let input = stack(&[image.values()], height, width).to_device(self.store.device());
            let logits = tch::no_grad(|| self.network.forward(&mut Eager::exact(), &input));
            Plane::new(height, width, to_vec(&logits.sigmoid()))
        };
        self.held_out.iter().filter_map(one).collect()
    }

    fn overlap(&self, probabilities: &[Plane], threshold: f64) -> Overlap {
        let mut overlap = Overlap::default();
        for (plane, nucleus) in probabilities.iter().zip(&self.held_out) {
            let mask = Mask::of(plane, threshold as f32).without_specks(self.config.segmentation.smallest);
            overlap.add(&mask, &nucleus.mask);
        }
        overlap
    }

    /// The threshold with the best mean overlap on the validation part.
    fn threshold(&self, probabilities: &[Plane]) -> f64 {
        let iou = |threshold: f64| self.overlap(probabilities, threshold).iou();
        let mut best = self.config.segmentation.threshold;
        for percent in (20..=80).step_by(2) {
            let threshold = f64::from(percent) / 100.0;
            if iou(threshold) > iou(best) {
                best = threshold;
            }
        }
        best
    }
}

/// 1 on the pixels on either side of a border, else 0.
fn borders(masks: &Tensor) -> Tensor {
    let widen = |x: &Tensor| x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false);
    widen(masks) + widen(&(1.0 - masks)) - 1.0
}

/// One minus the Dice coefficient of each crop, averaged; a pixel that is half sure is half there.
fn dice_loss(probabilities: &Tensor, masks: &Tensor) -> Tensor {
    let sum = |x: &Tensor| x.sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float);
    // As if so many pixels more were right: crops of background alone are no division by zero.
    let smooth = 16.0;
    let both = sum(&(probabilities * masks)) * 2.0 + smooth;
    let dice = both / (sum(probabilities) + sum(masks) + smooth);
    1.0 - dice.mean(Kind::Float)
}

impl Recipe for NucleiRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn complete(&mut self, manifest: &mut Manifest) {
        let threshold = self.threshold(&self.probabilities());
        manifest.segmentation = Some(Segmentation { threshold, ..self.config.segmentation });
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
        let indices: Vec<i64> = self.order.batch(step).iter().map(|&i| i as i64).collect();
        let indices = Tensor::from_slice(&indices).to_device(self.store.device());
        let (images, masks) = self
            .config
            .augment
            .apply(&self.images.index_select(0, &indices), &self.masks.index_select(0, &indices));
        let logits = self.network.forward(&mut Eager::with(self.precision), &self.curve(&images));
        let logits = logits.to_kind(Kind::Float);
        let weights = borders(&masks) * self.config.border + 1.0;
        let cross_entropy =
            logits.binary_cross_entropy_with_logits(&masks, Some(&weights), None::<&Tensor>, Reduction::Mean);
        let dice = dice_loss(&logits.sigmoid(), &masks);
        Loss {
            total: &cross_entropy + &dice * self.config.overlap,
            parts: vec![("cross_entropy", cross_entropy.detach()), ("dice_loss", dice.detach())],
        }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let probabilities = self.probabilities();
        let threshold = self.threshold(&probabilities);
        let overlap = self.overlap(&probabilities, threshold);
        vec![("iou", overlap.iou()), ("dice", overlap.dice()), ("threshold", threshold)]
    }

    /// Columns of pictures: what goes in, the probability of each pixel, and the annotators' mask. The first
    /// two are crops as training sees them, the others are of the validation part.
    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let crop = self.config.augment.crop as i64;
        random::seed_torch(&[self.seed, random::VALIDATION]);
        let two = self.images.size()[0].min(2);
        let (crops, masks) =
            self.config.augment.apply(&self.images.narrow(0, 0, two), &self.masks.narrow(0, 0, two));
        let (mut images, mut masks) = (vec![self.curve(&crops)], vec![masks]);
        for nucleus in self.held_out.iter().take(4) {
            let image = normalise(&nucleus.image, &self.config.segmentation);
            let (height, width) = (image.height(), image.width());
            let mask: Vec<f32> = nucleus.mask.pixels().iter().map(|p| f32::from(u8::from(*p))).collect();
            for (all, values) in [(&mut images, image.values()), (&mut masks, mask.as_slice())] {
                let whole = stack(&[values], height, width).to_device(self.store.device());
                all.push(whole.narrow(2, 0, crop).narrow(3, 0, crop));
            }
        }
        let (images, masks) = (Tensor::cat(&images, 0), Tensor::cat(&masks, 0));
        let logits = tch::no_grad(|| self.network.forward(&mut Eager::exact(), &images));
        let mut grid = Grid::new(images.size()[0] as usize);
        for row in [&images, &logits.sigmoid(), &masks] {
            grid.row(row);
        }
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
