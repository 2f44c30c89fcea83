//! Points that belong together, found without being told what they are.
//!
//! [`spectral`] goes by who is near whom and so finds clusters of any shape; [`k_means`] by how far a point is from
//! the middle of its cluster, and so finds round ones.

mod eigen;
mod graph;
mod k_means;

use k_means::{squared, unordered};

/// Ways in which k-means starts, of which the one with the nearest centres in the end is kept.
const STARTS: u64 = 10;
/// The most neighbours of a point.
const NEIGHBOURS: usize = 20;
/// The fewest.
const FEWEST: usize = 2;

/// The cluster of a point, and how far it is from the cluster's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// From 0; the largest cluster is the first.
    pub cluster: usize,
    /// Euclidean distance from the mean of the cluster's points.
    pub distance: f64,
}

/// Puts each point into one of `count` clusters, the same for the same seed: k-means (Lloyd 1982) from centres drawn
/// by k-means++ (Arthur and Vassilvitskii 2007), the tightest of ten starts.
///
/// Points are of one length, and there are at least `count` of them, which is at least 1. Clusters may be empty where
/// points are equal.
#[must_use]
pub fn k_means(points: &[Vec<f32>], count: usize, seed: u64) -> Vec<Place> {
    let points = widened(points);
    placed(&points, unordered(&points, count, seed), count)
}

/// Puts each point into one of `count` clusters, the same for the same seed: k-means on the first eigenvectors of the
/// graph that joins each point to its nearest neighbours (Ng, Jordan and Weiss 2002), where how near is near depends
/// on the place (Zelnik-Manor and Perona 2004).
///
/// Points are of one length, and there are at least `count` of them, which is at least 1. Clusters may be empty where
/// points are equal. Takes time with the square of the number of points: seconds for ten thousand of length 64.
#[must_use]
pub fn spectral(points: &[Vec<f32>], count: usize, seed: u64) -> Vec<Place> {
    // A neighbourhood is to lie within a cluster, of which half the points may be on its rim.
    let neighbours = (points.len() / (2 * count.max(1))).clamp(FEWEST, NEIGHBOURS);
    let graph = graph::Graph::of(points, neighbours);
    let mut rows = eigen::leading(&graph, count, seed);
    for row in &mut rows {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x /= length.max(f64::MIN_POSITIVE));
    }
    placed(&widened(points), unordered(&rows, count, seed), count)
}

fn widened(points: &[Vec<f32>]) -> Vec<Vec<f64>> {
    points.iter().map(|point| point.iter().map(|x| f64::from(*x)).collect()).collect()
}

/// Names the clusters by their size, of equal ones that with the earlier point first, and measures distances.
fn placed(points: &[Vec<f64>], clusters: Vec<usize>, count: usize) -> Vec<Place> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&cluster| {
        let size = clusters.iter().filter(|it| **it == cluster).count();
        (std::cmp::Reverse(size), clusters.iter().position(|it| *it == cluster))
    });
    let mut names = vec![0; count];
    for (name, cluster) in order.into_iter().enumerate() {
        if let Some(place) = names.get_mut(cluster) {
            *place = name;
        }
    }
    let named: Vec<usize> =
        clusters.iter().map(|cluster| names.get(*cluster).copied().unwrap_or_default()).collect();
    let centres = k_means::means(points, &named, vec![Vec::new(); count]);
    let place = |(point, &cluster): (&Vec<f64>, &usize)| {
        let distance = centres.get(cluster).map_or(0.0, |centre| squared(point, centre).sqrt());
        Place { cluster, distance }
    };
    points.iter().zip(&named).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Method = fn(&[Vec<f32>], usize, u64) -> Vec<Place>;
    const METHODS: [Method; 2] = [k_means, spectral];

    fn clusters(places: &[Place]) -> Vec<usize> {
        places.iter().map(|place| place.cluster).collect()
    }

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
            assert_eq!(clusters(&k_means(&heaps(), 3, seed)), [1, 1, 1, 0, 0, 0, 0, 0, 2, 2], "seed {seed}");
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
        for method in METHODS {
            let places = method(&vec![vec![1.0, 2.0]; 4], 3, 5);
            assert!(places.iter().all(|place| place.distance == 0.0), "{places:?}");
            let places = method(&heaps()[..3], 3, 5);
            assert!(places.iter().all(|place| place.cluster < 3), "{places:?}");
            assert_eq!(method(&[vec![3.0]], 1, 5), [Place { cluster: 0, distance: 0.0 }]);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_clusters() {
        for method in METHODS {
            assert_eq!(method(&rings(), 2, 7), method(&rings(), 2, 7));
        }
    }

    /// A ring of 60 around another of 40: no straight line parts them.
    fn rings() -> Vec<Vec<f32>> {
        let ring = |radius: f32, n: usize| {
            (0..n).map(move |i| {
                let angle = i as f32 / n as f32 * std::f32::consts::TAU;
                vec![radius * libm::cosf(angle), radius * libm::sinf(angle)]
            })
        };
        ring(5.0, 60).chain(ring(1.0, 40)).collect()
    }

    #[test]
    fn a_ring_around_another_is_a_cluster_for_who_goes_by_neighbours() {
        let expected: Vec<usize> = (0..100).map(|i| usize::from(i >= 60)).collect();
        for seed in 0..10 {
            assert_eq!(clusters(&spectral(&rings(), 2, seed)), expected, "seed {seed}");
        }
        assert_ne!(clusters(&k_means(&rings(), 2, 1)), expected, "and not for who goes by the middle");
    }

    #[test]
    fn many_heaps_of_noise_are_told_apart() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let points: Vec<Vec<f32>> = (0..600)
            .map(|i| {
                let noise = (0..16).map(|_| random.random_range(-1.0_f32..1.0));
                noise.enumerate().map(|(axis, x)| x + if axis == i % 12 { 4.0 } else { 0.0 }).collect()
            })
            .collect();
        let found = clusters(&spectral(&points, 12, 1));
        for i in 0..600 {
            assert_eq!(found[i], found[i % 12], "point {i} is with its like");
        }
        let mut names = found[..12].to_vec();
        names.sort_unstable();
        assert_eq!(names, (0..12).collect::<Vec<_>>());
    }
}
