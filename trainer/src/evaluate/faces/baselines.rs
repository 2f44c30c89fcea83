//! Ageing without a network.

use tch::{Device, Tensor};

use crate::data::faces::{Faces, Part};
use crate::random;

/// Faces within this many years of an age stand for it.
const NEAR: f32 = 5.0;

/// The mean training face of every age from 0 to 100 years, each over the faces of nearly that age.
pub struct Prototypes {
    means: Tensor,
}

impl Prototypes {
    /// Takes the means.
    #[must_use]
    pub fn of(faces: &Faces) -> Self {
        let train = faces.part(Part::Train);
        // The sum of each year's faces, once; then windows over the years.
        let (mut sums, mut counts) = (Vec::new(), Vec::new());
        for year in 0..=100 {
            let of_year: Vec<usize> =
                train.iter().copied().filter(|&i| faces.age(i) as i32 == year).collect();
            let images = faces.batch(&of_year, Device::Cpu).images;
            sums.push(images.sum_dim_intlist([0i64].as_slice(), false, tch::Kind::Float));
            counts.push(of_year.len());
        }
        let reach = NEAR as usize;
        let means: Vec<Tensor> = (0..sums.len())
            .map(|year| {
                let window = year.saturating_sub(reach)..(year + reach + 1).min(sums.len());
                let count: usize = counts[window.clone()].iter().sum();
                sums[window].iter().sum::<Tensor>() / count.max(1) as f64
            })
            .collect();
        Self { means: Tensor::stack(&means, 0) }
    }

    fn at(&self, ages: &Tensor) -> Tensor {
        self.means.index_select(0, &ages.round().clamp(0.0, 100.0).to_kind(tch::Kind::Int64))
    }

    /// Faces `[n, 3, 64, 64]` of the given ages at `target` years: the difference of the mean faces, added
    /// (Rowland and Perrett 1995).
    pub fn age(&self, images: &Tensor, ages: &Tensor, target: f64) -> Tensor {
        (images + self.at(&ages.full_like(target)) - self.at(ages)).clamp(0.0, 1.0)
    }
}

/// For each of `count` faces a random test face of about `target` years, or as near to them as there are any.
pub fn others(faces: &Faces, count: usize, target: f64) -> Tensor {
    use rand::Rng;
    let test = faces.part(Part::Test);
    let apart = |&i: &usize| (faces.age(i) - target as f32).abs();
    let reach = test.iter().map(apart).fold(f32::INFINITY, f32::min).max(NEAR);
    let near: Vec<usize> = test.iter().filter(|i| apart(i) <= reach).copied().collect();
    let mut rng = random::generator(&[random::VALIDATION, target.to_bits()]);
    let drawn: Vec<usize> =
        (0..count).map(|_| near[(rng.next_u64() % near.len().max(1) as u64) as usize]).collect();
    faces.batch(&drawn, Device::Cpu).images
}

/// Faces as a normal distribution whose mean and covariance are those of the training faces of nearly an age.
pub struct Normal<'a> {
    faces: &'a Faces,
    train: Vec<usize>,
}

/// Training faces that a covariance is taken from.
const COVARIANCE: usize = 400;

impl<'a> Normal<'a> {
    /// Of the training faces.
    #[must_use]
    pub fn of(faces: &'a Faces) -> Self {
        Self { faces, train: faces.part(Part::Train) }
    }

    /// A face for each of `ages`, f32 `[n]` in years: `[n, 3, 64, 64]`, by random numbers that follow from
    /// `number`.
    pub fn draw(&self, ages: &Tensor, number: u64) -> Tensor {
        let mut rng = random::generator(&[random::VALIDATION, 7, number]);
        let decades = (ages / 10.0).round();
        let mut made = Tensor::zeros([ages.size()[0], 3, 64, 64], (tch::Kind::Float, Device::Cpu));
        for decade in 0..=10 {
            let rows = decades.eq(f64::from(decade)).nonzero().flatten(0, -1);
            let count = rows.size()[0] as usize;
            let near = |&&i: &&usize| (self.faces.age(i) - decade as f32 * 10.0).abs() <= NEAR;
            let near: Vec<usize> = self.train.iter().filter(near).take(COVARIANCE).copied().collect();
            if count == 0 || near.is_empty() {
                continue;
            }
            let pixels = self.faces.batch(&near, Device::Cpu).images.flatten(1, -1);
            let mean = pixels.mean_dim([0i64].as_slice(), true, tch::Kind::Float);
            // Normal weights on what deviates from the mean have just the covariance of it.
            let weights: Vec<f32> = random::normals(&mut rng, count * near.len()).map(|x| x as f32).collect();
            let weights = Tensor::from_slice(&weights).reshape([count as i64, -1]);
            let faces = weights.matmul(&(pixels - &mean)) / (near.len() as f64).sqrt() + mean;
            let faces = faces.reshape([-1, 3, 64, 64]).clamp(0.0, 1.0);
            made = made.index_copy(0, &rows, &faces);
        }
        made
    }
}
