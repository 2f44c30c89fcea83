//! Who is near whom.

/// A graph with a weight on each edge, the same in both directions, so scaled that its eigenvalues lie in [-1, 1]:
/// D^(-1/2) W D^(-1/2), of which the largest eigenvalue is 1.
pub(super) struct Graph {
    /// Of each point, its neighbours and the weights.
    edges: Vec<Vec<(u32, f64)>>,
}

impl Graph {
    /// Joins each point to its nearest neighbours, `count` or as many as there are, and to those whose it is.
    ///
    /// The weight of a neighbour at distance d is exp(-d² / (s t)), s and t being how far the two points' farthest
    /// neighbours are: dense and sparse places count alike.
    pub(super) fn of(points: &[Vec<f32>], count: usize) -> Self {
        let near: Vec<Vec<(u32, f64)>> = (0..points.len()).map(|at| nearest(points, at, count)).collect();
        let far: Vec<f64> =
            near.iter().map(|near| near.last().map_or(0.0, |(_, square)| square.sqrt())).collect();
        let mut edges: Vec<Vec<(u32, f64)>> = vec![Vec::new(); points.len()];
        for (at, near) in near.iter().enumerate() {
            for &(other, square) in near {
                let scale = of(&far, at) * of(&far, other as usize);
                // Points on the same spot are as near as can be.
                let weight =
                    if square > 0.0 { libm::exp(-square / scale.max(f64::MIN_POSITIVE)) } else { 1.0 };
                add(&mut edges, at, other, weight);
                add(&mut edges, other as usize, at as u32, weight);
            }
        }
        for edges in &mut edges {
            edges.sort_unstable_by_key(|edge| edge.0);
            edges.dedup_by_key(|edge| edge.0);
        }
        let degrees: Vec<f64> =
            edges.iter().map(|edges| edges.iter().map(|edge| edge.1).sum::<f64>()).collect();
        let scales: Vec<f64> = degrees.iter().map(|degree| degree.max(f64::MIN_POSITIVE).sqrt()).collect();
        for (at, edges) in edges.iter_mut().enumerate() {
            edges
                .iter_mut()
                .for_each(|(other, weight)| *weight /= of(&scales, at) * of(&scales, *other as usize));
        }
        Self { edges }
    }

    pub(super) fn points(&self) -> usize {
        self.edges.len()
    }

    /// The graph's matrix times a column.
    pub(super) fn times<'a>(&'a self, column: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let row = |edges: &Vec<(u32, f64)>| {
            edges.iter().map(|(to, weight)| weight * of(column, *to as usize)).sum()
        };
        self.edges.iter().map(row)
    }
}

fn of(values: &[f64], at: usize) -> f64 {
    values.get(at).copied().unwrap_or_default()
}

fn add(edges: &mut [Vec<(u32, f64)>], from: usize, to: u32, weight: f64) {
    if let Some(edges) = edges.get_mut(from) {
        edges.push((to, weight));
    }
}

/// The nearest of all others, the nearest first, with squared distances.
fn nearest(points: &[Vec<f32>], at: usize, count: usize) -> Vec<(u32, f64)> {
    let Some(point) = points.get(at) else { return Vec::new() };
    let others = points.iter().enumerate().filter(|(other, _)| *other != at);
    let mut squares: Vec<(u32, f32)> = others.map(|(other, it)| (other as u32, squared(point, it))).collect();
    let by = |a: &(u32, f32), b: &(u32, f32)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
    if count < squares.len() {
        squares.select_nth_unstable_by(count, by);
        squares.truncate(count);
    }
    squares.sort_unstable_by(by);
    squares.into_iter().map(|(other, square)| (other, f64::from(square))).collect()
}

/// In eight sums, which the compiler makes one of.
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}
