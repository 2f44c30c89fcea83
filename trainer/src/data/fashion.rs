//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 train and 10,000 test grey images of clothing,
//! 28 x 28, ten classes, in four gzipped IDX files.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::{DataError, idx};

/// Classes of clothing.
pub const CLASSES: usize = 10;

/// Their names, in the order of their ids.
pub const NAMES: [&str; CLASSES] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Images and their classes.
#[derive(Debug)]
pub struct Fashion {
    /// u8 `[n, 1, 28, 28]`.
    pub images: Tensor,
    /// i64 `[n]`, 0 to 9.
    pub labels: Tensor,
}

/// The last images of the train file are kept from training, to choose by.
pub const VALIDATION: i64 = 5_000;

impl Fashion {
    /// Reads one half, `"train"` or `"t10k"`, from `dir/fashion-mnist` or `dir` itself.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn read(dir: &Path, half: &str) -> Result<Self, DataError> {
        let inner = dir.join("fashion-mnist");
        let dir = if inner.is_dir() { inner } else { dir.to_owned() };
        let path = dir.join(format!("{half}-images-idx3-ubyte.gz"));
        let images = idx::read(&path, 3)?;
        let n = images.shape[0];
        if images.shape[1..] != [28, 28] || n == 0 {
            return Err(DataError::malformed(&path, format!("shape {:?}, not [n, 28, 28]", images.shape)));
        }
        let path = dir.join(format!("{half}-labels-idx1-ubyte.gz"));
        let labels = idx::read(&path, 1)?;
        if labels.shape[0] != n {
            let message = format!("{} labels for {n} images", labels.shape[0]);
            return Err(DataError::malformed(&path, message));
        }
        if let Some(bad) = labels.data.iter().find(|&&label| label > 9) {
            return Err(DataError::malformed(&path, format!("label {bad}, classes are 0 to 9")));
        }
        Ok(Self {
            images: Tensor::from_slice(&images.data).reshape([n as i64, 1, 28, 28]),
            labels: Tensor::from_slice(&labels.data).to_kind(Kind::Int64),
        })
    }

    /// Images there are.
    #[must_use]
    pub fn len(&self) -> i64 {
        self.images.size()[0]
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The given images as f32 in [0, 1], `[n, 1, 28, 28]`.
    pub fn batch(&self, indices: &[usize], device: Device) -> Tensor {
        let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        pixels(&self.images.index_select(0, &Tensor::from_slice(&indices)), device)
    }

    /// The given images, with their classes i64 `[n]`.
    pub fn labelled(&self, indices: &[usize], device: Device) -> (Tensor, Tensor) {
        let at: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let labels = self.labels.index_select(0, &Tensor::from_slice(&at));
        (self.batch(indices, device), labels.to_device(device))
    }

    /// `count` images from `start` on, as f32 in [0, 1].
    pub fn range(&self, start: i64, count: i64, device: Device) -> Tensor {
        pixels(&self.images.narrow(0, start, count), device)
    }

    /// Splits the train half into what is trained on and what is chosen by: the last [`VALIDATION`]
    /// images, or the last tenth of a smaller set.
    #[must_use]
    pub fn training_count(&self) -> i64 {
        self.len() - VALIDATION.min((self.len() / 10).max(1))
    }
}

fn pixels(images: &Tensor, device: Device) -> Tensor {
    images.to_device(device).to_kind(Kind::Float) / 255.0
}
