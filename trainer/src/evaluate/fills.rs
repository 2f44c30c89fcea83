//! Ways to fill a hole that need no training: all of them affine in the known pixels, so that each becomes one
//! matrix for a hole.

use tch::{Device, Kind, Tensor};

/// What a linear prediction takes for noise in the known pixels, as variance: it keeps the equations solvable.
const NOISE: f64 = 1e-3;

/// Mean and covariance of images.
pub struct Statistics {
    side: i64,
    mean: Tensor,
    covariance: Tensor,
}

/// A mask `[h w]` as the indices of its known pixels and of its hole.
fn parts(mask: &Tensor) -> (Tensor, Tensor) {
    let hole = mask.reshape([-1]).gt(0.5);
    (hole.logical_not().nonzero().squeeze_dim(1), hole.nonzero().squeeze_dim(1))
}

fn pick(matrix: &Tensor, rows: &Tensor, columns: &Tensor) -> Tensor {
    matrix.index_select(0, rows).index_select(1, columns)
}

/// Puts predicted pixels of the hole, `[n, hole]`, into flat images `[n, h w]`.
fn put(images: &Tensor, hole: &Tensor, pixels: &Tensor) -> Tensor {
    let flat = images.reshape([images.size()[0], -1]).copy();
    flat.index_copy(1, hole, &pixels.clamp(0.0, 1.0).to_kind(Kind::Float)).reshape(images.size())
}

impl Statistics {
    /// Of train images `[n, 1, side, side]`.
    #[must_use]
    pub fn of(images: &Tensor) -> Self {
        let flat = images.reshape([images.size()[0], -1]);
        let mean = flat.mean_dim([0i64].as_slice(), true, Kind::Float);
        let centred = &flat - &mean;
        let covariance = centred.tr().matmul(&centred).to_kind(Kind::Double) / flat.size()[0] as f64;
        Self { side: images.size()[3], mean: mean.to_kind(Kind::Double), covariance }
    }

    /// Fills the hole with each pixel's mean over the train images.
    pub fn mean(&self, images: &Tensor, mask: &Tensor) -> Tensor {
        let (_, hole) = parts(mask);
        let pixels = self.mean.index_select(1, &hole).expand([images.size()[0], -1], false);
        put(images, &hole, &pixels)
    }

    /// Fills the hole with the mean, given the known pixels, of the Gaussian that has the train images' mean and
    /// covariance: the best linear prediction there is.
    pub fn gaussian(&self, images: &Tensor, mask: &Tensor) -> Tensor {
        let (known, hole) = parts(mask);
        let among = pick(&self.covariance, &known, &known);
        let noise = Tensor::eye(known.size()[0], (Kind::Double, Device::Cpu)) * NOISE;
        let across = pick(&self.covariance, &known, &hole);
        // What a known pixel adds to each of the hole: [known, hole].
        let factors = Tensor::linalg_solve(&(among + noise), &across, true);
        let flat = images.reshape([images.size()[0], -1]).to_kind(Kind::Double);
        let apart = flat.index_select(1, &known) - self.mean.index_select(1, &known);
        put(images, &hole, &(apart.matmul(&factors) + self.mean.index_select(1, &hole)))
    }

    /// Fills the hole so that every pixel of it is the mean of its neighbours (the harmonic, or Laplace, fill).
    pub fn harmonic(&self, images: &Tensor, mask: &Tensor) -> Tensor {
        let (known, hole) = parts(mask);
        let laplacian = laplacian(self.side as usize);
        let factors = Tensor::linalg_solve(
            &pick(&laplacian, &hole, &hole),
            &(pick(&laplacian, &hole, &known) * -1.0),
            true,
        );
        let flat = images.reshape([images.size()[0], -1]).to_kind(Kind::Double);
        put(images, &hole, &flat.index_select(1, &known).matmul(&factors.tr()))
    }
}

/// Neighbours of each pixel on the diagonal, -1 for each of them: f64 `[side side, side side]`.
fn laplacian(side: usize) -> Tensor {
    let n = side * side;
    let mut values = vec![0f64; n * n];
    for at in 0..n {
        let (x, y) = (at % side, at / side);
        let beside = [
            (x > 0).then(|| at - 1),
            (x + 1 < side).then(|| at + 1),
            (y > 0).then(|| at - side),
            (y + 1 < side).then(|| at + side),
        ];
        for other in beside.into_iter().flatten() {
            values[at * n + at] += 1.0;
            values[at * n + other] = -1.0;
        }
    }
    Tensor::from_slice(&values).reshape([n as i64, n as i64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::holes::Hole;
    use crate::random::{generator, normals};

    fn centre() -> Tensor {
        Tensor::from_slice(&Hole::Centre.draw(8, &mut generator(&[1]))).reshape([1, 8, 8])
    }

    /// Images that are planes: brightness rises evenly, at random in both directions.
    fn planes(count: i64) -> Tensor {
        let mut rng = generator(&[2]);
        let slopes: Vec<f32> = normals(&mut rng, 2 * count as usize).map(|x| x as f32 * 0.02).collect();
        let slopes = Tensor::from_slice(&slopes).reshape([2, count, 1, 1, 1]);
        let ramp = Tensor::arange(8, (Kind::Float, Device::Cpu)) - 3.5;
        slopes.get(0) * ramp.reshape([1, 1, 1, 8]) + slopes.get(1) * ramp.reshape([1, 1, 8, 1]) + 0.5
    }

    fn error(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).square().mean(Kind::Double).double_value(&[])
    }

    #[test]
    fn planes_are_harmonic_and_linear_and_far_from_their_mean() {
        let (train, test) = (planes(400), planes(3));
        let statistics = Statistics::of(&train);
        let spoilt = &test * (centre() * -1.0 + 1.0);
        assert!(error(&statistics.harmonic(&spoilt, &centre()), &test) < 1e-10);
        let linear = error(&statistics.gaussian(&spoilt, &centre()), &test);
        let mean = error(&statistics.mean(&spoilt, &centre()), &test);
        assert!(linear < mean / 50.0 && mean > 1e-5, "{linear} {mean}");
    }

    #[test]
    fn no_fill_looks_into_the_hole_or_changes_what_is_known() {
        let (train, test) = (planes(50), planes(2));
        let statistics = Statistics::of(&train);
        let known = centre() * -1.0 + 1.0;
        let other = &test * &known + centre() * 0.9;
        for fill in [Statistics::mean, Statistics::harmonic, Statistics::gaussian] {
            let filled = fill(&statistics, &test, &centre());
            assert!(error(&filled, &fill(&statistics, &other, &centre())) < 1e-12);
            assert_eq!(error(&(&filled * &known), &(&test * &known)), 0.0);
        }
    }
}
