//! K-means (Lloyd 1982) from centres drawn by k-means++ (Arthur and Vassilvitskii 2007).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::STARTS;

/// The most rounds of each start.
const ROUNDS: usize = 100;

/// The cluster of each point, in no order: the tightest of all starts.
pub(super) fn unordered(points: &[Vec<f64>], count: usize, seed: u64) -> Vec<usize> {
    let ended = (0..STARTS).map(|start| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(start);
        from(points, count, &mut random)
    });
    ended.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, clusters)| clusters).unwrap_or_default()
}

/// The sum of the squared distances in the end, and the clusters.
fn from(points: &[Vec<f64>], count: usize, random: &mut ChaCha8Rng) -> (f64, Vec<usize>) {
    let mut centres = plus_plus(points, count, random);
    let (mut spread, mut clusters) = nearest_of_all(points, &centres);
    for _ in 0..ROUNDS {
        centres = means(points, &clusters, centres);
        let (moved_spread, moved) = nearest_of_all(points, &centres);
        let settled = moved == clusters;
        (spread, clusters) = (moved_spread, moved);
        if settled {
            break;
        }
    }
    (spread, clusters)
}

fn nearest_of_all(points: &[Vec<f64>], centres: &[Vec<f64>]) -> (f64, Vec<usize>) {
    let mut spread = 0.0;
    let clusters = points.iter().map(|point| {
        let (cluster, square) = nearest(point, centres);
        spread += square;
        cluster
    });
    let clusters = clusters.collect();
    (spread, clusters)
}

/// The mean of each cluster's points. A cluster that has none stays where it was.
pub(super) fn means(points: &[Vec<f64>], clusters: &[usize], before: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let length = points.first().map_or(0, Vec::len);
    let mut sums = vec![(0_u32, vec![0.0; length]); before.len()];
    for (point, &cluster) in points.iter().zip(clusters) {
        if let Some((size, sum)) = sums.get_mut(cluster) {
            *size += 1;
            sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
        }
    }
    let mean = |((size, sum), before): ((u32, Vec<f64>), Vec<f64>)| match size {
        0 => before,
        size => sum.into_iter().map(|x| x / f64::from(size)).collect(),
    };
    sums.into_iter().zip(before).map(mean).collect()
}

fn plus_plus(points: &[Vec<f64>], count: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let first = random.random_range(0..points.len().max(1));
    let mut centres: Vec<Vec<f64>> = points.get(first).cloned().into_iter().collect();
    let mut far = vec![f64::INFINITY; points.len()];
    while let (Some(newest), true) = (centres.last(), centres.len() < count) {
        far.iter_mut().zip(points).for_each(|(far, point)| *far = far.min(squared(point, newest)));
        let mut left = random.random::<f64>() * far.iter().sum::<f64>();
        let chosen = far.iter().position(|square| {
            left -= square;
            left < 0.0
        });
        // Where all that is left lies on a centre, any point is as good.
        centres.extend(points.get(chosen.unwrap_or_default()).cloned());
    }
    centres
}

/// The nearest centre, and the square of how far it is.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let squares = centres.iter().map(|centre| squared(point, centre)).enumerate();
    squares.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

pub(super) fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
