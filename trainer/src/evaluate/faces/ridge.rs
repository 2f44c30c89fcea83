//! Ages read off faces by gradients and colours, linearly: a judge that was never trained by descent, so that
//! no network can have learned to please it.

use anyhow::Context;
use tch::{Device, Kind, Tensor};

use crate::data::faces::Faces;
use crate::evaluate::hog::cells;

/// Faces at a time.
const CHUNK: usize = 500;
/// Pull of the coefficients towards 0.
const RIDGE: f64 = 3e3;
/// Height and width of the cells of gradients, with the energy under which an edge counts less.
const CELLS: [(i64, f64); 3] = [(4, 0.01), (8, 0.04), (16, 0.16)];

/// Ridge regression of `sqrt(age + 1)` on histograms of oriented gradients in cells of three sizes and the
/// colours of 8 x 8 squares, of a face and its mirror image.
pub struct AgeRidge {
    mean: Tensor,
    deviation: Tensor,
    weights: Tensor,
    offset: f64,
}

/// Features f32 `[n, 2880]` of `[n, 3, 64, 64]` in [0, 1].
fn features(images: &Tensor) -> Tensor {
    let luma = Tensor::from_slice(&[0.299f32, 0.587, 0.114]).reshape([1, 3, 1, 1]);
    let grey = (images * luma).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    let mut parts: Vec<Tensor> = CELLS.iter().map(|&(size, floor)| cells(&grey, size, floor)).collect();
    parts.push(images.adaptive_avg_pool2d([8, 8]).flatten(1, -1));
    Tensor::cat(&parts, 1)
}

impl AgeRidge {
    /// Learns from the given faces.
    ///
    /// # Errors
    /// There are no faces.
    pub fn fit(faces: &Faces, indices: &[usize]) -> anyhow::Result<Self> {
        let ages: Vec<f64> = indices.iter().map(|&i| f64::from(faces.age(i))).collect();
        let target = (Tensor::from_slice(&ages) + 1.0).sqrt();
        let offset = target.mean(Kind::Double).double_value(&[]);
        let target = target - offset;
        // Sums over the faces, so that their features need not all be kept: x of the faces alone and their
        // squares, then both x and the mirrored faces' with everything.
        let mut sums: Option<[Tensor; 5]> = None;
        for (i, chunk) in indices.chunks(CHUNK).enumerate() {
            let images = faces.batch(chunk, Device::Cpu).images;
            let target = target.narrow(0, (i * CHUNK) as i64, chunk.len() as i64);
            let x = features(&images).to_kind(Kind::Double);
            let both = Tensor::cat(&[&x, &features(&images.flip([3])).to_kind(Kind::Double)], 0);
            let total = |x: &Tensor| x.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
            let parts = [
                total(&x),
                total(&x.square()),
                total(&both),
                both.tr().matmul(&both),
                both.tr().mv(&Tensor::cat(&[&target, &target], 0)),
            ];
            sums = Some(match sums {
                None => parts,
                Some(before) => {
                    let mut parts = parts.into_iter();
                    before.map(|sum| parts.next().map_or_else(|| sum.shallow_clone(), |part| &sum + part))
                }
            });
        }
        let [x, squares, both, products, response] = sums.context("no faces to learn from")?;
        let n = indices.len() as f64;
        let mean = x / n;
        let deviation = (squares / n - mean.square()).clamp_min(0.0).sqrt() + 1e-3;
        // What the sums are of features about their mean, divided by their deviation.
        let across = both.outer(&mean);
        let centred = products - &across - across.tr() + mean.outer(&mean) * (2.0 * n);
        let scale = deviation.reciprocal();
        let gram = centred * scale.outer(&scale);
        // The targets sum to 0, so the mean drops out here.
        let response = response * scale;
        let ridge = Tensor::eye(gram.size()[0], (Kind::Double, Device::Cpu)) * RIDGE;
        let weights = Tensor::linalg_solve(&(gram + ridge), &response, true);
        let single = |x: Tensor| x.to_kind(Kind::Float);
        Ok(Self { mean: single(mean), deviation: single(deviation), weights: single(weights), offset })
    }

    /// Ages f32 `[n]` in years of `[n, 3, 64, 64]` in [0, 1].
    pub fn judge(&self, images: &Tensor) -> Tensor {
        let roots = |images: &Tensor| ((features(images) - &self.mean) / &self.deviation).mv(&self.weights);
        let parts: Vec<Tensor> = images
            .split(CHUNK as i64, 0)
            .iter()
            .map(|chunk| (roots(chunk) + roots(&chunk.flip([3]))) * 0.5 + self.offset)
            .collect();
        Tensor::cat(&parts, 0).clamp_min(1.0).square() - 1.0
    }
}
