//! How the age that is judged follows the age that is asked for.

use tch::{Kind, Tensor};

/// Years by which the judged age rises for each year that is asked for: the slope of the least-squares line.
/// `judged` is `[targets, faces]`, years, in the order of `targets`. 1 is ideal, 0 is a copy.
#[must_use]
pub fn slope(targets: &[f64], judged: &Tensor) -> f64 {
    let targets = Tensor::from_slice(targets).unsqueeze(1);
    let centred = &targets - targets.mean(Kind::Double);
    let judged = judged.to_kind(Kind::Double).mean_dim([1i64].as_slice(), true, Kind::Double);
    let along = (&centred * judged).sum(Kind::Double) / centred.square().sum(Kind::Double);
    along.double_value(&[])
}

/// How surely a face grows older as it is asked to: Spearman's correlation of the targets, which rise, with
/// the judged ages `[targets, faces]`, as a mean over the faces. 1 if every face ages without a step back, 0 of a
/// face that never changes.
#[must_use]
pub fn monotonicity(judged: &Tensor) -> f64 {
    let n = judged.size()[0];
    let sum = |x: &Tensor| x.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
    // Ages that are alike share the mean of their ranks.
    let (one, others) = (judged.unsqueeze(0), judged.unsqueeze(1));
    let ranks = sum(&others.lt_tensor(&one)) + sum(&others.eq_tensor(&one)) * 0.5;
    let middle = (n - 1) as f64 / 2.0;
    let order = Tensor::arange(n, (Kind::Double, judged.device())).unsqueeze(1) - middle;
    let ranks = &ranks - ranks.mean_dim([0i64].as_slice(), true, Kind::Double);
    let spread = (sum(&ranks.square()) * sum(&order.square())).sqrt();
    let correlation = sum(&(ranks * order)) / spread.clamp_min(f64::MIN_POSITIVE);
    correlation.mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two faces at three ages.
    fn judged(rows: [[f32; 2]; 3]) -> Tensor {
        Tensor::from_slice(rows.as_flattened()).reshape([3, 2])
    }

    #[test]
    fn the_slope_is_years_judged_for_years_asked() {
        let targets = [10.0, 20.0, 40.0];
        for (rows, expected) in [
            ([[10.0, 10.0], [20.0, 20.0], [40.0, 40.0]], 1.0),
            ([[33.0, 7.0], [33.0, 7.0], [33.0, 7.0]], 0.0),
            ([[25.0, 5.0], [30.0, 10.0], [40.0, 20.0]], 0.5),
        ] {
            assert!((slope(&targets, &judged(rows)) - expected).abs() < 1e-9, "{expected}");
        }
    }

    #[test]
    fn a_face_that_grows_younger_counts_against_one_that_grows_older() {
        assert_eq!(monotonicity(&judged([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])), 0.0);
        assert_eq!(monotonicity(&judged([[1.0, 1.0], [2.0, 5.0], [9.0, 6.0]])), 1.0);
        assert_eq!(monotonicity(&judged([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])), 0.5);
    }

    #[test]
    fn a_face_that_never_changes_does_not_grow_older() {
        assert_eq!(monotonicity(&judged([[33.0, 7.0], [33.0, 7.0], [33.0, 7.0]])), 0.0);
        // The second is as old at the second age as at the first: ranks 0.5, 0.5, 2.
        let half = monotonicity(&judged([[1.0, 4.0], [2.0, 4.0], [3.0, 5.0]]));
        assert!((half - f64::midpoint(1.0, 0.75f64.sqrt())).abs() < 1e-12, "{half}");
    }
}
