//! K-means (Lloyd 1982) from centres drawn by k-means++ (Arthur and Vassilvitskii 2007).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Ways to start, of which the one with the nearest centres in the end is kept.
const STARTS: u64 = 10;
/// The most rounds of each.
const ROUNDS: usize = 100;

/// The cluster of a point, and how far it is from the cluster's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// From 0; the largest cluster is the first.
    pub(super) cluster: usize,
    /// Euclidean.
    pub(super) distance: f64,
}

/// Puts each point into one of `count` clusters, the same for the same seed. Points are of one length, and
/// there are at least `count` of them, which is at least 1. Clusters may be empty where points are equal.
pub(super) fn k_means(points: &[Vec<f32>], count: usize, seed: u64) -> Vec<Place> {
    let points: Vec<Vec<f64>> = points.iter().map(|p| p.iter().map(|x| f64::from(*x)).collect()).collect();
    let ended = (0..STARTS).map(|start| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(start);
        from(&points, count, &mut random)
    });
    let spread = |places: &[Place]| places.iter().map(|place| place.distance * place.distance).sum::<f64>();
    let best = ended.min_by(|a, b| spread(a).total_cmp(&spread(b))).unwrap_or_default();
    largest_first(best, count)
}

fn from(points: &[Vec<f64>], count: usize, random: &mut ChaCha8Rng) -> Vec<Place> {
    let mut centres = plus_plus(points, count, random);
    let mut places: Vec<Place> = points.iter().map(|point| nearest(point, &centres)).collect();
    for _ in 0..ROUNDS {
        for (cluster, centre) in centres.iter_mut().enumerate() {
            let members = || points.iter().zip(&places).filter(|(_, place)| place.cluster == cluster);
            let size = members().count();
            // A cluster that has lost all its points stays where it was.
            if size > 0 {
                for (axis, value) in centre.iter_mut().enumerate() {
                    let sum: f64 = members().filter_map(|(point, _)| point.get(axis)).sum();
                    *value = sum / size as f64;
                }
            }
        }
        let moved: Vec<Place> = points.iter().map(|point| nearest(point, &centres)).collect();
        let settled = moved.iter().zip(&places).all(|(a, b)| a.cluster == b.cluster);
        places = moved;
        if settled {
            break;
        }
    }
    places
}

fn plus_plus(points: &[Vec<f64>], count: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let first = random.random_range(0..points.len().max(1));
    let mut centres: Vec<Vec<f64>> = points.get(first).cloned().into_iter().collect();
    while !centres.is_empty() && centres.len() < count {
        let far: Vec<f64> = points.iter().map(|point| nearest(point, &centres).distance.powi(2)).collect();
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

fn nearest(point: &[f64], centres: &[Vec<f64>]) -> Place {
    let square = |centre: &Vec<f64>| point.iter().zip(centre).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let squares = centres.iter().map(square).enumerate();
    let (cluster, square) = squares.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    Place { cluster, distance: square.sqrt() }
}

/// Renames the clusters by their size; of equal ones that with the earlier point comes first.
fn largest_first(mut places: Vec<Place>, count: usize) -> Vec<Place> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&cluster| {
        let size = places.iter().filter(|place| place.cluster == cluster).count();
        (std::cmp::Reverse(size), places.iter().position(|place| place.cluster == cluster))
    });
    for place in &mut places {
        place.cluster = order.iter().position(|&cluster| cluster == place.cluster).unwrap_or_default();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five points around 0, three around 10, two around (0, 10).
    fn heaps() -> Vec<Vec<f32>> {
        let around = |x: f32, y: f32, n: usize| {
            (0..n).map(move |i| vec![x + 0.1 * i as f32, y - 0.05 * i as f32]).collect::<Vec<_>>()
        };
        [around(10.0, 0.0, 3), around(0.0, 0.0, 5), around(0.0, 10.0, 2)].concat()
    }

    #[test]
    fn heaps_become_clusters_the_largest_first() {
        for seed in 0..20 {
            let clusters: Vec<usize> = k_means(&heaps(), 3, seed).iter().map(|place| place.cluster).collect();
            assert_eq!(clusters, [1, 1, 1, 0, 0, 0, 0, 0, 2, 2], "seed {seed}");
        }
    }

    #[test]
    fn a_point_is_as_far_as_it_is_from_the_mean_of_its_cluster() {
        let places = k_means(&[vec![0.0], vec![4.0], vec![20.0]], 2, 1);
        let distances: Vec<f64> = places.iter().map(|place| place.distance).collect();
        assert_eq!(distances, [2.0, 2.0, 0.0]);
    }

    #[test]
    fn equal_points_and_as_many_clusters_as_points_are_no_trouble() {
        let places = k_means(&vec![vec![1.0, 2.0]; 4], 3, 5);
        assert!(places.iter().all(|place| place.cluster == 0 && place.distance == 0.0), "{places:?}");
        let mut clusters: Vec<usize> = k_means(&heaps()[..3], 3, 5).iter().map(|p| p.cluster).collect();
        clusters.sort_unstable();
        assert_eq!(clusters, [0, 1, 2]);
    }
}
