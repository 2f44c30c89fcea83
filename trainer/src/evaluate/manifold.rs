//! Whether two sets of features cover each other, and how near one comes to another.

use tch::{Kind, Tensor};

/// Rows at a time.
const CHUNK: i64 = 500;
/// Which nearest neighbour is as far as a sample's surroundings reach.
const NEIGHBOUR: i64 = 3;

/// Euclidean distances `[a, b]` of the rows of two matrices.
fn distances(a: &Tensor, b: &Tensor) -> Tensor {
    let squares = |x: &Tensor| x.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    (squares(a) + squares(b).tr() - a.matmul(&b.tr()) * 2.0).clamp_min(0.0).sqrt()
}

/// How far the surroundings of each row reach, `[n]`: to its third nearest other row.
fn reach(rows: &Tensor) -> Tensor {
    let parts: Vec<Tensor> = rows
        .split(CHUNK, 0)
        .iter()
        // A row is its own nearest.
        .map(|chunk| distances(chunk, rows).kthvalue(NEIGHBOUR + 1, 1, false).0)
        .collect();
    Tensor::cat(&parts, 0)
}

/// The part of `samples` that lie in the surroundings of any row of `set`.
fn covered(samples: &Tensor, set: &Tensor, reach: &Tensor) -> f64 {
    let parts: Vec<Tensor> = samples
        .split(CHUNK, 0)
        .iter()
        .map(|chunk| distances(chunk, set).le_tensor(reach).any_dim(1, false))
        .collect();
    Tensor::cat(&parts, 0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

/// Precision and recall of generated samples (Kynkaanniemi et al. 2019, k = 3), from features f32 `[n, width]`:
/// the part of generated samples that are like some real one, and the part of real samples that are like some
/// generated one. Each set must have at least four.
#[must_use]
pub fn precision_recall(real: &Tensor, generated: &Tensor) -> (f64, f64) {
    (covered(generated, real, &reach(real)), covered(real, generated, &reach(generated)))
}

/// The distance of every row to the nearest row of `set`, `[n]`.
pub fn nearest(rows: &Tensor, set: &Tensor) -> Tensor {
    let parts: Vec<Tensor> = rows
        .split(CHUNK, 0)
        .iter()
        .map(|chunk| distances(chunk, set).amin([1i64].as_slice(), false))
        .collect();
    Tensor::cat(&parts, 0)
}

/// The mean, over `values`, of the percentage of `others` that are smaller: 50 for sets that are alike.
#[must_use]
pub fn mean_percentile(values: &Tensor, others: &Tensor) -> f64 {
    let (sorted, _) = others.sort(0, false);
    let rank = values.searchsorted(&sorted, false, false, "left", None::<&Tensor>);
    rank.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]) * 100.0 / others.size()[0] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of points on a line, a little apart from each other and on either side of it.
    fn line(from: i64, to: i64) -> Tensor {
        let x = Tensor::arange_start(from, to, (Kind::Float, tch::Device::Cpu));
        Tensor::stack(&[x.shallow_clone(), x.sin() * 0.1], 1)
    }

    #[test]
    fn a_part_is_precise_and_recalls_its_part() {
        let (whole, half) = (line(0, 40), line(0, 20) + 0.01);
        let (precision, recall) = precision_recall(&whole, &half);
        assert!(precision > 0.999, "{precision}");
        // The last of the half reaches three further.
        assert!((0.5..=0.6).contains(&recall), "{recall}");
        let (precision, recall) = precision_recall(&half, &whole);
        assert!(recall > 0.999 && (0.5..=0.6).contains(&precision), "{precision} {recall}");
        let (precision, recall) = precision_recall(&whole, &(line(0, 40) + 1000.0));
        assert!(precision == 0.0 && recall == 0.0);
    }

    #[test]
    fn the_nearest_is_the_nearest() {
        let set = line(0, 30);
        let found = nearest(&Tensor::from_slice(&[3.0f32, 1.1411, 100.0, -0.0664]).reshape([2, 2]), &set);
        // sin(3) / 10 = 0.0141 and sin(29) / 10 = -0.0664.
        assert!((found.double_value(&[0]) - 1.127).abs() < 1e-3, "{found:?}");
        assert!((found.double_value(&[1]) - 71.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn percentiles_of_a_set_in_itself_are_about_fifty() {
        let x = Tensor::arange(100, (Kind::Float, tch::Device::Cpu));
        assert!((mean_percentile(&x, &x) - 49.5).abs() < 1e-9);
        assert_eq!(mean_percentile(&(&x * 0.0 - 1.0), &x), 0.0);
        assert_eq!(mean_percentile(&(&x + 1000.0), &x), 100.0);
    }
}
