//! The eigenvectors of a graph's largest eigenvalues: subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago
//! and Chelikowsky 2006).

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::graph::Graph;

/// Columns beyond those that are wanted: the wanted ones settle the faster.
const MORE: usize = 8;
/// The degree of the filter.
const DEGREE: usize = 12;
/// The most rounds.
const ROUNDS: usize = 100;
/// An eigenvector is settled when what it lacks is shorter than this.
const SETTLED: f64 = 1e-5;

/// Of each point, its values in the eigenvectors of the `count` largest eigenvalues.
pub(super) fn leading(graph: &Graph, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let points = graph.points();
    let (count, columns) = (count.min(points), (count + MORE).min(points));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut basis = DMatrix::from_fn(points, columns, |_, _| random.random_range(-1.0..1.0)).qr().q();
    for _ in 0..ROUNDS {
        let image = times(graph, &basis);
        // The best that there is within the columns (Rayleigh and Ritz).
        let within = basis.tr_mul(&image).symmetric_eigen();
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|a, b| value(&within.eigenvalues, *b).total_cmp(&value(&within.eigenvalues, *a)));
        let turn = within.eigenvectors.select_columns(&order);
        basis = &basis * &turn;
        let image = image * &turn;
        let values: Vec<f64> = order.iter().map(|at| value(&within.eigenvalues, *at)).collect();
        let lacks = |at: usize| {
            values.get(at).map_or(0.0, |value| (image.column(at) - basis.column(at) * *value).norm())
        };
        // What lies below the last column's value is damped. A graph that is whole in it has nothing below.
        let edge = values.last().copied().unwrap_or(1.0);
        if (0..count).all(|at| lacks(at) < SETTLED) || edge <= -1.0 + SETTLED {
            break;
        }
        basis = filtered(graph, basis, edge).qr().q();
    }
    let row = |row: usize| basis.row(row).iter().take(count).copied().collect();
    (0..points).map(row).collect()
}

/// Columns in which eigenvectors with values in [-1, `edge`] are small beside the others.
fn filtered(graph: &Graph, basis: DMatrix<f64>, edge: f64) -> DMatrix<f64> {
    let (middle, half) = ((edge - 1.0) / 2.0, (edge + 1.0) / 2.0);
    let next = |of: &DMatrix<f64>, factor: f64| (times(graph, of) - of * middle) * (factor / half);
    let mut now = next(&basis, 1.0);
    let mut before = basis;
    for _ in 1..DEGREE {
        let after = next(&now, 2.0) - before;
        before = std::mem::replace(&mut now, after);
    }
    now
}

fn times(graph: &Graph, columns: &DMatrix<f64>) -> DMatrix<f64> {
    let values = columns.column_iter().flat_map(|column| {
        let column: Vec<f64> = column.iter().copied().collect();
        graph.times(&column).collect::<Vec<f64>>()
    });
    DMatrix::from_iterator(columns.nrows(), columns.ncols(), values)
}

fn value(values: &nalgebra::DVector<f64>, at: usize) -> f64 {
    values.get(at).copied().unwrap_or_default()
}
