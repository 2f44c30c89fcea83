//! How well clusters found without classes agree with them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::random;

/// Ways to start, of which the one with the nearest centres in the end is kept. Of ten, none may come to the best that
/// there are, and the classes that clusters agree with are others then.
const STARTS: u64 = 50;
/// Rounds of each, at most.
const ROUNDS: usize = 100;

/// The centres of `count` clusters of points f32 `[n, d]`: k-means (Lloyd 1982) from centres drawn by
/// k-means++ (Arthur and Vassilvitskii 2007), the best of fifty starts.
pub fn k_means(points: &Tensor, count: usize) -> Tensor {
    let mut best: Option<(f64, Tensor)> = None;
    for start in 0..STARTS {
        let mut rng = random::generator(&[random::INIT, start]);
        let mut centres = plus_plus(points, count, &mut rng);
        for _ in 0..ROUNDS {
            let next = moved(points, &centres);
            let settled = next.equal(&centres);
            centres = next;
            if settled {
                break;
            }
        }
        let spread = distances(points, &centres).amin([1i64].as_slice(), false).mean(Kind::Double);
        let spread = spread.double_value(&[]);
        if best.as_ref().is_none_or(|(least, _)| spread < *least) {
            best = Some((spread, centres));
        }
    }
    best.map_or_else(|| points.narrow(0, 0, 0), |(_, centres)| centres)
}

/// The number of the nearest centre of each point, i64 `[n]`.
#[must_use]
pub fn nearest(points: &Tensor, centres: &Tensor) -> Vec<usize> {
    let ids: Vec<i64> = Vec::try_from(distances(points, centres).argmin(1, false)).unwrap_or_default();
    ids.into_iter().map(|id| id as usize).collect()
}

/// Squared distances `[n, k]`.
fn distances(points: &Tensor, centres: &Tensor) -> Tensor {
    let squares = |x: &Tensor| x.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    (squares(points) - points.matmul(&centres.tr()) * 2.0 + squares(centres).tr()).clamp_min(0.0)
}

fn moved(points: &Tensor, centres: &Tensor) -> Tensor {
    let count = centres.size()[0];
    let members = distances(points, centres).argmin(1, false).one_hot(count).to_kind(Kind::Float);
    let sizes = members.sum_dim_intlist([0i64].as_slice(), false, Kind::Float).reshape([count, 1]);
    let means = members.tr().matmul(points) / sizes.clamp_min(1.0);
    // A cluster that has lost all its points stays where it was.
    means.where_self(&sizes.gt(0.0), centres)
}

fn plus_plus(points: &Tensor, count: usize, rng: &mut ChaCha8Rng) -> Tensor {
    let n = points.size()[0];
    let mut centres = points.narrow(0, (rng.next_u64() % n as u64) as i64, 1);
    for _ in 1..count {
        let far = distances(points, &centres).amin([1i64].as_slice(), false).to_kind(Kind::Double);
        let sums = far.cumsum(0, Kind::Double);
        let drawn = random::unit(rng) * sums.double_value(&[n - 1]);
        let chosen = sums.le(drawn).sum(Kind::Int64).int64_value(&[]).min(n - 1);
        centres = Tensor::cat(&[centres, points.narrow(0, chosen, 1)], 0);
    }
    centres
}

/// A linear map that takes the points it was fitted to to their principal components, with mean 0 and deviation 1 in
/// each of them.
pub struct Whitening {
    mean: Tensor,
    map: Tensor,
}

impl Whitening {
    /// From points f32 `[n, d]`, to so many components, at most d.
    #[must_use]
    pub fn fit(points: &Tensor, components: i64) -> Self {
        let mean = points.mean_dim([0i64].as_slice(), true, Kind::Float);
        let centred = points - &mean;
        let covariance = centred.tr().matmul(&centred).to_kind(Kind::Double) / points.size()[0] as f64;
        let (values, vectors) = covariance.linalg_eigh("L");
        // A direction in which next to nothing varies is not blown up.
        let floor = values.max().double_value(&[]) * 1e-6;
        // In the order of their size, the largest last.
        let least = values.size()[0] - components;
        let map = vectors.narrow(1, least, components) / (values.narrow(0, least, components) + floor).sqrt();
        Self { mean, map: map.to_kind(Kind::Float) }
    }

    /// Points `[n, d]`, whitened.
    pub fn apply(&self, points: &Tensor) -> Tensor {
        (points - &self.mean).matmul(&self.map)
    }
}

/// How clusters agree with classes.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// The part of the points in the right cluster, when each cluster stands for a class of its own so that
    /// this part is largest.
    pub accuracy: f64,
    /// Mutual information of cluster and class, over the mean of their entropies: 0 to 1.
    pub mutual_information: f64,
}

/// Compares the clusters and the classes of the same points, both below `count`, which is at most 16.
#[must_use]
pub fn agreement(clusters: &[usize], classes: &[usize], count: usize) -> Agreement {
    let mut together = vec![vec![0f64; count]; count];
    for (&cluster, &class) in clusters.iter().zip(classes) {
        together[cluster][class] += 1.0;
    }
    let n = clusters.len() as f64;
    // The best pairing: the first clusters are paired with every subset of classes of their number in turn.
    let mut best = vec![f64::NEG_INFINITY; 1 << count];
    best[0] = 0.0;
    for taken in 0usize..1 << count {
        let cluster = taken.count_ones() as usize;
        if cluster == count {
            continue;
        }
        for class in (0..count).filter(|class| taken >> class & 1 == 0) {
            let right = best[taken] + together[cluster][class];
            let with = &mut best[taken | 1 << class];
            *with = with.max(right);
        }
    }
    let entropy =
        |sizes: &[f64]| sizes.iter().filter(|&&s| s > 0.0).map(|s| -(s / n) * (s / n).ln()).sum::<f64>();
    let of_cluster: Vec<f64> = together.iter().map(|row| row.iter().sum()).collect();
    let of_class: Vec<f64> = (0..count).map(|class| together.iter().map(|row| row[class]).sum()).collect();
    let all: Vec<f64> = together.into_iter().flatten().collect();
    let (clusters, classes) = (entropy(&of_cluster), entropy(&of_class));
    let mutual = clusters + classes - entropy(&all);
    Agreement {
        accuracy: best[(1 << count) - 1] / n,
        mutual_information: 2.0 * mutual / (clusters + classes).max(f64::MIN_POSITIVE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_that_lie_apart_are_found_whatever_they_are_called() {
        let mut rng = random::generator(&[3]);
        let noise: Vec<f32> = random::normals(&mut rng, 600).map(|x| x as f32).collect();
        let classes: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let points: Vec<f32> = noise
            .iter()
            .enumerate()
            .map(|(i, x)| 0.3 * x + [[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]][i / 2 % 3][i % 2])
            .collect();
        let points = Tensor::from_slice(&points).reshape([300, 2]);
        let found = agreement(&nearest(&points, &k_means(&points, 3)), &classes, 3);
        assert!(found.accuracy > 0.999 && found.mutual_information > 0.999, "{found:?}");
    }

    #[test]
    fn clusters_that_know_nothing_of_the_classes_agree_by_chance_only() {
        let classes: Vec<usize> = (0..400).map(|i| i % 4).collect();
        let clusters: Vec<usize> = (0..400).map(|i| i / 4 % 4).collect();
        let found = agreement(&clusters, &classes, 4);
        assert!((found.accuracy - 0.25).abs() < 1e-9 && found.mutual_information.abs() < 1e-9, "{found:?}");
        // Two clusters, one class each, and one half of a third.
        let found = agreement(&[2, 2, 0, 0, 1, 0], &[0, 0, 1, 1, 2, 2], 3);
        assert!((found.accuracy - 5.0 / 6.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn whitened_points_have_no_direction() {
        let mut rng = random::generator(&[4]);
        let values: Vec<f32> = random::normals(&mut rng, 3000).map(|x| x as f32).collect();
        let points = Tensor::from_slice(&values).reshape([1000, 3]);
        let mixed = points
            .matmul(&Tensor::from_slice(&[3f32, 0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 0.5, 1.0]).reshape([3, 3]));
        let white = Whitening::fit(&mixed, 3).apply(&mixed);
        let covariance = white.tr().matmul(&white) / 1000.0;
        let apart =
            (covariance - Tensor::eye(3, (Kind::Float, tch::Device::Cpu))).abs().max().double_value(&[]);
        assert!(apart < 1e-2, "{apart}");
        let most = Whitening::fit(&mixed, 1).apply(&mixed);
        assert_eq!(most.size(), [1000, 1]);
        assert!(
            (most - white.narrow(1, 2, 1)).abs().max().double_value(&[]) < 1e-6,
            "the most that varies is kept"
        );
    }
}
