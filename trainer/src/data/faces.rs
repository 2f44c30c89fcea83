//! UTKFace (Zhang, Song and Qi 2017), aligned crops of 64 x 64: faces with the age that their file names
//! say. Of the names only the age is read.
//!
//! The archive has no split of its own and no identities. Ours goes by a hash of the file names, so that it
//! does not depend on the order of the archive; and since some photographs are in it several times, a face
//! that is nearly the same as one of an earlier part is left out of the later ones: what is tested on was
//! never trained on.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::ImageFormat;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::DataError;
use super::tar::Archive;

/// Height and width of the faces.
pub const SIZE: i64 = 64;
/// Faces whose thumbnails correlate more than this are the same photograph.
const SAME: f64 = 0.99;
/// Height and width of the thumbnails.
const THUMBNAIL: i64 = 16;

/// The parts of the data set, each free of faces of the parts before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A tenth: measured on, once.
    Test,
    /// A twentieth: chosen by.
    Validation,
    /// One half of the rest.
    First,
    /// The other half.
    Second,
    /// Both halves: all that is trained on.
    Train,
}

/// Faces with their ages.
#[derive(Debug)]
pub struct Faces {
    /// u8 `[n, 3, 64, 64]`.
    images: Tensor,
    /// Years.
    ages: Vec<f32>,
    /// Indices of the test, validation, first and second part.
    parts: [Vec<usize>; 4],
}

/// Faces as networks take them.
#[derive(Debug)]
pub struct Batch {
    /// f32 `[n, 3, 64, 64]` in [0, 1].
    pub images: Tensor,
    /// Years, f32 `[n]`.
    pub ages: Tensor,
    /// Where they are in the data set.
    pub indices: Vec<usize>,
}

impl Faces {
    /// Reads `UTKFace.tar` from `dir/utkface64` or `dir` itself.
    ///
    /// # Errors
    /// Names the archive, and the entry that is malformed.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let inner = dir.join("utkface64");
        let path = if inner.is_dir() { inner } else { dir.to_owned() }.join("UTKFace.tar");
        let failed = |source| DataError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let (mut pixels, mut ages, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for entry in Archive::new(BufReader::new(file)) {
            let entry = entry.map_err(failed)?;
            let bad = |message: String| DataError::malformed(&path, format!("{}: {message}", entry.name));
            let name = entry.name.rsplit('/').next().unwrap_or_default();
            let age = name.split('_').next().and_then(|age| age.parse::<u8>().ok());
            let age = age.filter(|age| *age <= 120);
            let age = age.ok_or_else(|| bad("a name begins with an age from 0 to 120 and `_`".into()))?;
            let image = image::load_from_memory_with_format(&entry.data, ImageFormat::Jpeg);
            let image = image.map_err(|e| bad(e.to_string()))?.to_rgb8();
            if [image.width(), image.height()] != [SIZE as u32; 2] {
                return Err(bad(format!("is {} x {}, not 64 x 64", image.width(), image.height())));
            }
            pixels.extend_from_slice(image.as_raw());
            ages.push(f32::from(age));
            hashes.push(Sha256::digest(name.as_bytes()));
        }
        if ages.len() < 40 {
            return Err(DataError::malformed(&path, format!("{} faces are too few to split", ages.len())));
        }
        let images = Tensor::from_slice(&pixels).reshape([-1, SIZE, SIZE, 3]);
        let images = images.permute([0, 3, 1, 2]).contiguous();
        let mut order: Vec<usize> = (0..ages.len()).collect();
        order.sort_by_key(|&i| hashes[i]);
        let parts = split(&images, &order);
        Ok(Self { images, ages, parts })
    }

    /// Where the faces of a part are.
    #[must_use]
    pub fn part(&self, part: Part) -> Vec<usize> {
        match part {
            Part::Test => self.parts[0].clone(),
            Part::Validation => self.parts[1].clone(),
            Part::First => self.parts[2].clone(),
            Part::Second => self.parts[3].clone(),
            Part::Train => self.parts[2..].concat(),
        }
    }

    /// The age of a face in years.
    #[must_use]
    pub fn age(&self, index: usize) -> f32 {
        self.ages[index]
    }

    /// The given faces.
    #[must_use]
    pub fn batch(&self, indices: &[usize], device: Device) -> Batch {
        let rows: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let images = self.images.index_select(0, &Tensor::from_slice(&rows));
        let ages: Vec<f32> = indices.iter().map(|&i| self.ages[i]).collect();
        Batch {
            images: images.to_device(device).to_kind(Kind::Float) / 255.0,
            ages: Tensor::from_slice(&ages).to_device(device),
            indices: indices.to_vec(),
        }
    }
}

/// Cuts `order` into the four parts and takes out of each what an earlier one has.
fn split(images: &Tensor, order: &[usize]) -> [Vec<usize>; 4] {
    let n = order.len();
    let (test, validation) = (n / 10, n / 20);
    let half = (n - test - validation) / 2;
    let ends = [test, test + validation, test + validation + half, n];
    let rows: Vec<i64> = order.iter().map(|&i| i as i64).collect();
    let thumbnails = thumbnails(&images.index_select(0, &Tensor::from_slice(&rows)));
    let mut start = 0;
    ends.map(|end| {
        let part = start..end;
        let earlier = thumbnails.narrow(0, 0, start as i64);
        let mut kept = Vec::with_capacity(part.len());
        for begin in part.clone().step_by(1024) {
            let count = (end - begin).min(1024);
            let same = if start == 0 {
                vec![0; count]
            } else {
                let likeness = thumbnails.narrow(0, begin as i64, count as i64).matmul(&earlier.tr());
                let found = likeness.amax([1i64].as_slice(), false).gt(SAME).to_kind(Kind::Int64);
                Vec::<i64>::try_from(&found).unwrap_or_else(|e| unreachable!("one axis of i64: {e}"))
            };
            kept.extend((0..count).filter(|&i| same[i] == 0).map(|i| order[begin + i]));
        }
        start = end;
        kept
    })
}

/// Small grey pictures, `[n, 256]`, of mean 0 and length 1: their products are correlations.
fn thumbnails(images: &Tensor) -> Tensor {
    let all: Vec<Tensor> = images
        .split(2048, 0)
        .iter()
        .map(|chunk| {
            let grey = chunk.to_kind(Kind::Float).mean_dim([1i64].as_slice(), true, Kind::Float);
            let small = grey.adaptive_avg_pool2d([THUMBNAIL, THUMBNAIL]).flatten(1, -1);
            let centred = &small - small.mean_dim([1i64].as_slice(), true, Kind::Float);
            let length = centred.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
            centred / (length + 1e-6)
        })
        .collect();
    Tensor::cat(&all, 0)
}
