//! The Frechet distance between two sets of features, each taken for a normal distribution (Dowson and Landau
//! 1982; Heusel et al. 2017 with Inception's features).

use tch::{Kind, Tensor};

/// Mean and covariance of a set of features.
#[derive(Debug)]
pub struct Moments {
    mean: Tensor,
    covariance: Tensor,
}

impl Moments {
    /// Of features `[n, width]`, in double precision. There must be at least two.
    #[must_use]
    pub fn of(features: &Tensor) -> Self {
        let features = features.to_kind(Kind::Double);
        let mean = features.mean_dim([0i64].as_slice(), false, Kind::Double);
        let centred = &features - &mean;
        let covariance = centred.tr().matmul(&centred) / (features.size()[0] - 1) as f64;
        Self { mean, covariance }
    }

    /// `|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))`: 0 for equal moments.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f64 {
        let value = |x: Tensor| x.double_value(&[]);
        let (values, vectors) = self.covariance.linalg_eigh("L");
        // C1^(1/2) C2 C1^(1/2) is symmetric and has the eigenvalues of C1 C2. Rounding can put a few of them
        // under 0.
        let root = (&vectors * values.clamp_min(0.0).sqrt()).matmul(&vectors.tr());
        let product = root.matmul(&other.covariance).matmul(&root);
        let cross = value(product.linalg_eigvalsh("L").clamp_min(0.0).sqrt().sum(Kind::Double));
        let apart = value((&self.mean - &other.mean).square().sum(Kind::Double));
        apart + value(self.covariance.trace()) + value(other.covariance.trace()) - 2.0 * cross
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn independent_columns_are_apart_by_their_means_and_deviations() {
        // Two columns that do not covary: the distance is the sum of theirs, (m1 - m2)^2 + (s1 - s2)^2.
        let base = Tensor::from_slice(&[1.0f64, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0]).reshape([2, 4]).tr();
        let deviation = (4.0f64 / 3.0).sqrt();
        let other = &base * Tensor::from_slice(&[3.0f64, 0.5]) + Tensor::from_slice(&[2.0f64, -1.0]);
        let expected = 4.0 + 1.0 + (2.0 * deviation).powi(2) + (0.5 * deviation).powi(2);
        let distance = Moments::of(&base).distance(&Moments::of(&other));
        assert!((distance - expected).abs() < 1e-9, "{distance}, not {expected}");
    }

    #[test]
    fn a_set_is_no_distance_from_itself_and_as_far_from_another_as_that_is_from_it() {
        let draw = |n: u64| {
            let mut rng = crate::random::generator(&[n]);
            let values: Vec<f64> = crate::random::normals(&mut rng, 50 * 6).collect();
            Tensor::from_slice(&values).reshape([50, 6]).to_device(Device::Cpu)
        };
        let (a, b) = (Moments::of(&draw(1)), Moments::of(&(draw(2) * 1.5)));
        assert!(a.distance(&a).abs() < 1e-9);
        assert!(a.distance(&b) > 0.5 && (a.distance(&b) - b.distance(&a)).abs() < 1e-9);
    }
}
