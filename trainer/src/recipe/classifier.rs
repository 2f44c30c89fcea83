//! Training the [`Classifier`] on Fashion-MNIST: the encoder of an earlier run of the autoencoder, tuned
//! further with the classes. The autoencoder itself stays as it was.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use atelier_package::{Labels, Manifest};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use super::augment::{SIDE, Strength, augment};
use super::{Loss, Order, Recipe, RecipeConfig, Turn};
use crate::data::DataError;
use crate::data::fashion::{CLASSES, Fashion, NAMES};
use crate::graphs::Exportable;
use crate::nets::autoencoder::AutoencoderConfig;
use crate::nets::classifier::{Classifier, TUNED};
use crate::ops::eager::{Eager, Precision};
use crate::picture::Grid;
use crate::random;
use crate::store::{Store, StoreError};

/// Images in a row of the picture, which has a row for each class.
const COLUMNS: usize = 16;

/// `[family]` with `kind = "classifier"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRecipeConfig {
    /// Size of the network: that of the autoencoder which it starts from.
    pub network: AutoencoderConfig,
    /// Pixels that a training image is moved by at most, in both directions.
    pub shift: usize,
    /// Part of the training images in which a rectangle is erased.
    pub erased: f64,
    /// Part of the chance that is spread evenly over all classes (label smoothing, Szegedy et al. 2016).
    pub smoothing: f64,
}

impl ClassifierRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        self.network.validate()?;
        if self.shift > 8 {
            return Err(format!("family.shift is {}, it must lie in [0, 8]", self.shift));
        }
        for (name, value) in [("erased", self.erased), ("smoothing", self.smoothing)] {
            if !(0.0..=0.9).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 0.9]"));
            }
        }
        Ok(())
    }
}

/// The network, its data, and how it is trained.
pub(super) struct ClassifierRecipe {
    config: ClassifierRecipeConfig,
    seed: u64,
    precision: Precision,
    store: Store,
    network: Classifier,
    data: Fashion,
    order: Order,
}

impl ClassifierRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &ClassifierRecipeConfig,
        data: &Path,
        device: tch::Device,
    ) -> Result<Self, DataError> {
        let data = Fashion::read(data, "train")?;
        let mut store = Store::new(common.seed, device);
        let network = Classifier::new(&mut store, &config.network, CLASSES);
        let order = Order::new(common.seed, data.training_count() as usize, common.batch);
        let (seed, precision) = (common.seed, common.precision);
        Ok(Self { config: config.clone(), seed, precision, store, network, data, order })
    }

    /// Images `[n, 1, 28, 28]`, each changed at random, and their classes.
    fn batch(&mut self, step: u64) -> (Tensor, Tensor) {
        let device = self.store.device();
        let chosen: Vec<i64> = self.order.batch(step).iter().map(|&i| i as i64).collect();
        let chosen = Tensor::from_slice(&chosen);
        let images = self.data.images.index_select(0, &chosen).contiguous();
        let mut pixels = vec![0u8; images.numel()];
        images.copy_data(&mut pixels, images.numel());
        let strength = Strength { shift: self.config.shift, erased: self.config.erased };
        let mut rng = random::generator(&[self.seed, random::AUGMENT, step]);
        let mut changed = Vec::with_capacity(pixels.len());
        for image in pixels.chunks(SIDE * SIDE) {
            augment(image, strength, &mut rng, &mut changed);
        }
        let images = Tensor::from_slice(&changed).reshape(images.size()).to_device(device);
        (images, self.data.labels.index_select(0, &chosen).to_device(device))
    }

    /// Logits of validation images as the exported graph gives them, and their classes.
    fn held_out(&self) -> (Tensor, Tensor) {
        let start = self.data.training_count();
        let count = self.data.len() - start;
        let images = self.data.range(start, count, self.store.device());
        let ops = &mut Eager::exact();
        let logits: Vec<Tensor> = images
            .split(500, 0)
            .iter()
            .map(|part| tch::no_grad(|| self.network.classify_both_ways(ops, part)))
            .collect();
        (Tensor::cat(&logits, 0), self.data.labels.narrow(0, start, count).to_device(self.store.device()))
    }
}

impl Recipe for ClassifierRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.network
    }

    fn complete(&mut self, manifest: &mut Manifest) {
        manifest.labels = Some(Labels { names: NAMES.map(str::to_owned).to_vec() });
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The autoencoder is taken as it is, and its encoder once more as what is tuned. The classifier's last
    /// layer starts at zero: it has no opinion yet that could spoil the encoder.
    fn start_from(&mut self, earlier: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        let mut values = HashMap::new();
        let mut surplus: HashSet<&str> = earlier.keys().map(String::as_str).collect();
        for p in self.store.parameters() {
            let name = p.name.strip_prefix(TUNED).unwrap_or(&p.name);
            let value = match earlier.get(name) {
                Some(value) => value.shallow_clone(),
                None if name.starts_with("head.") => p.value.zeros_like(),
                None => continue,
            };
            surplus.remove(name);
            values.insert(p.name.clone(), value);
        }
        self.store.load(&values)?;
        // A smaller network would take what it has a place for, and restore nothing with it.
        match surplus.into_iter().min() {
            Some(name) => Err(StoreError::Surplus { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    fn steps_per_epoch(&self) -> u64 {
        self.order.steps_per_epoch()
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { prefix: TUNED, rate: 1.0 }]
    }

    fn loss(&mut self, step: u64, _turn: usize) -> Loss {
        let (images, labels) = self.batch(step);
        let logits = self.network.classify(&mut Eager::with(self.precision), &images).to_kind(Kind::Float);
        let right = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Float).mean(Kind::Float);
        let total =
            logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, self.config.smoothing);
        Loss { total, parts: vec![("accuracy", right)] }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let (logits, labels) = self.held_out();
        let right = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Double);
        let nats = logits.cross_entropy_for_logits(&labels);
        vec![("accuracy", right.mean(Kind::Double).double_value(&[])), ("nats", nats.double_value(&[]))]
    }

    /// A row for each class: validation images that are taken for it, those first that belong elsewhere.
    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let (logits, labels) = self.held_out();
        let taken: Vec<i64> = Vec::try_from(logits.argmax(1, false).to_device(tch::Device::Cpu))?;
        let truth: Vec<i64> = Vec::try_from(labels.to_device(tch::Device::Cpu))?;
        let start = self.data.training_count() as usize;
        let mut grid = Grid::new(COLUMNS);
        for class in 0..CLASSES as i64 {
            let mut row: Vec<usize> = (0..taken.len()).filter(|&i| taken[i] == class).collect();
            row.sort_by_key(|&i| truth[i] == class);
            let row: Vec<usize> = row.into_iter().take(COLUMNS).map(|i| start + i).collect();
            grid.row(&self.data.batch(&row, tch::Device::Cpu));
        }
        grid.write(&directory.join(format!("{step:07}.png")))
    }
}
