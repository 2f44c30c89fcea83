//! Resizing that loses nothing: the greatest value of what a pixel is made of.

use std::ops::Range;

/// A plane of values from 0 to 1 at another size: each pixel is the greatest of those that the triangle filter, with
/// which images are resized, would mix into it. Linear in the pixels of both.
pub(crate) fn greatest(plane: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let columns: Vec<Range<usize>> = (0..to.0).map(|at| footprint(at, from.0, to.0)).collect();
    let narrow = |row: &[f32]| -> Vec<f32> {
        let most = |range: &Range<usize>| row.get(range.clone()).unwrap_or_default().iter().copied();
        columns.iter().map(|range| most(range).fold(0.0, f32::max)).collect()
    };
    let rows: Vec<Vec<f32>> = plane.chunks(from.0.max(1)).map(narrow).collect();
    let row = |at: usize| {
        let mut most = vec![0.0_f32; to.0];
        for row in rows.get(footprint(at, from.1, to.1)).unwrap_or_default() {
            most.iter_mut().zip(row).for_each(|(most, value)| *most = most.max(*value));
        }
        most
    };
    (0..to.1).flat_map(row).collect()
}

/// The pixels of a line of `from` that are mixed into the pixel `at` of `to`: those whose middle is nearer to its own
/// than a pixel of the coarser of both lines is long.
fn footprint(at: usize, from: usize, to: usize) -> Range<usize> {
    // In units of half a pixel of `from` divided by `to`; sides are at most 2^30.
    let (middle, reach) = ((2 * at + 1) * from, 2 * from.max(to));
    let first = (middle + to).saturating_sub(reach) / (2 * to);
    let end = (middle + reach - to).div_ceil(2 * to);
    first..end.min(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_made_of_those_that_the_filter_reaches() {
        let footprints =
            |from, to| -> Vec<Range<usize>> { (0..to).map(|at| footprint(at, from, to)).collect() };
        assert_eq!(footprints(3, 3), [0..1, 1..2, 2..3], "of the same size: itself");
        assert_eq!(footprints(8, 2), [0..6, 2..8]);
        assert_eq!(footprints(2, 4), [0..1, 0..2, 0..2, 1..2], "between the middles of two: both");
    }

    #[test]
    fn the_greatest_is_taken_and_stays_where_it_is() {
        let mut plane = vec![0.25; 8 * 4];
        plane[8] = 0.75;
        assert_eq!(greatest(&plane, (8, 4), (2, 4)), [0.25, 0.25, 0.75, 0.25, 0.25, 0.25, 0.25, 0.25]);
        assert_eq!(greatest(&plane, (8, 4), (8, 4)), plane);
    }
}
