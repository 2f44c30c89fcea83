//! Tiles that overlap, and one plane out of theirs.

use super::Plane;

/// Where the tiles of a picture lie: evenly spread, neighbours sharing at least the overlap that was asked,
/// none beyond the picture's edge unless the picture is smaller than a tile, which then lies in its middle
/// with its own mirror image around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiles {
    rows: Axis,
    columns: Axis,
}

impl Tiles {
    /// Tiles of `tile` (height, width) over a picture of `picture` (height, width); all at least 1. `overlap`
    /// is taken down to one pixel less than a tile where it is larger.
    pub fn new(picture: (usize, usize), tile: (usize, usize), overlap: usize) -> Self {
        Self { rows: Axis::new(picture.0, tile.0, overlap), columns: Axis::new(picture.1, tile.1, overlap) }
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.rows.starts.len() * self.columns.starts.len()
    }

    /// The values of tile `index`, counted row by row from 0, taken modulo their number.
    pub fn cut(&self, picture: &Plane, index: usize) -> Vec<f32> {
        let (top, left) = self.origin(index);
        let columns: Vec<usize> =
            (0..self.columns.tile).map(|x| mirror(left + x as i64, self.columns.length)).collect();
        let mut values = Vec::with_capacity(self.rows.tile * self.columns.tile);
        for y in 0..self.rows.tile {
            let start = mirror(top + y as i64, self.rows.length) * picture.width;
            let row = picture.values.get(start..start + picture.width).unwrap_or_default();
            values.extend(columns.iter().map(|&x| row.get(x).copied().unwrap_or_default()));
        }
        values
    }

    fn origin(&self, index: usize) -> (i64, i64) {
        let across = self.columns.starts.len();
        let start = |axis: &Axis, i: usize| axis.starts.get(i % axis.starts.len()).copied().unwrap_or(0);
        (start(&self.rows, index / across), start(&self.columns, index % across))
    }
}

/// One direction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Axis {
    /// Of the picture.
    length: usize,
    tile: usize,
    /// At least one; negative where the picture is smaller than a tile.
    starts: Vec<i64>,
    /// Pixels over which a tile's weight rises from its edge.
    ramp: usize,
}

impl Axis {
    fn new(length: usize, tile: usize, overlap: usize) -> Self {
        let overlap = overlap.min(tile.saturating_sub(1));
        let starts = if length <= tile {
            vec![-((tile - length) as i64 / 2)]
        } else {
            let count = (length - overlap).div_ceil(tile - overlap);
            let last = length - tile;
            // Rounded to the nearest pixel.
            (0..count).map(|i| ((2 * i * last + (count - 1)) / (2 * (count - 1))) as i64).collect()
        };
        Self { length, tile, starts, ramp: overlap.max(1) }
    }

    /// How much pixel `at` of a tile counts: in (0, 1], less towards both edges.
    fn weight(&self, at: usize) -> f32 {
        let edge = at.min(self.tile - 1 - at);
        ((edge as f32 + 0.5) / self.ramp as f32).min(1.0)
    }
}

/// A place in a picture of this length: places beyond its ends are mirrored at the edge between two pixels,
/// as often as it takes.
fn mirror(at: i64, length: usize) -> usize {
    let length = length as i64;
    let folded = at.rem_euclid(2 * length);
    folded.min(2 * length - 1 - folded) as usize
}

/// Puts logits of tiles together to the probabilities of a whole picture: where tiles overlap, the mean of
/// theirs, weighted by the distance from their edges, where a network sees least.
#[derive(Debug)]
pub struct Blend {
    tiles: Tiles,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

impl Blend {
    /// Without any tile yet.
    pub fn new(tiles: Tiles) -> Self {
        let pixels = tiles.rows.length * tiles.columns.length;
        Self { tiles, sums: vec![0.0; pixels], weights: vec![0.0; pixels] }
    }

    /// Adds the logits of tile `index`, as [`Tiles::cut`] counts them. Values that lie outside of the picture
    /// are dropped.
    pub fn add(&mut self, index: usize, logits: &[f32]) {
        let (top, left) = self.tiles.origin(index);
        let (rows, columns) = (&self.tiles.rows, &self.tiles.columns);
        let inside = |at: i64, length: usize| usize::try_from(at).ok().filter(|at| *at < length);
        for (y, line) in logits.chunks(columns.tile).enumerate().take(rows.tile) {
            let Some(row) = inside(top + y as i64, rows.length) else { continue };
            for (x, logit) in line.iter().enumerate() {
                let Some(column) = inside(left + x as i64, columns.length) else { continue };
                let weight = rows.weight(y) * columns.weight(x);
                let at = row * columns.length + column;
                if let (Some(sum), Some(total)) = (self.sums.get_mut(at), self.weights.get_mut(at)) {
                    *sum += weight / (1.0 + (-logit).exp());
                    *total += weight;
                }
            }
        }
    }

    /// The probabilities; 0 where no tile was added.
    pub fn finish(self) -> Plane {
        let pairs = self.sums.iter().zip(&self.weights);
        Plane {
            height: self.tiles.rows.length,
            width: self.tiles.columns.length,
            values: pairs.map(|(sum, weight)| if *weight > 0.0 { sum / weight } else { 0.0 }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_of_a_tiles_size_is_its_only_tile() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let picture = Plane::new(3, 4, values.clone()).unwrap();
        let tiles = Tiles::new((3, 4), (3, 4), 2);
        assert_eq!(tiles.len(), 1);
        assert_eq!(tiles.cut(&picture, 0), values);
    }

    #[test]
    fn around_a_smaller_picture_lies_its_mirror_image() {
        let picture = Plane::new(1, 3, vec![1.0, 2.0, 3.0]).unwrap();
        let tiles = Tiles::new((1, 3), (2, 9), 0);
        let row = [3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0];
        assert_eq!(tiles.cut(&picture, 0), [row, row].concat());
    }

    #[test]
    fn tiles_are_spread_evenly_from_edge_to_edge() {
        assert_eq!(Axis::new(10, 4, 1).starts, [0, 3, 6]);
        assert_eq!(Axis::new(11, 4, 1).starts, [0, 2, 5, 7]);
        assert_eq!(Axis::new(512, 256, 64).starts, [0, 128, 256]);
        assert_eq!(Axis::new(257, 256, 64).starts, [0, 1]);
    }

    #[test]
    fn where_two_tiles_disagree_the_one_that_sees_further_around_counts_more() {
        let tiles = Tiles::new((1, 6), (1, 4), 2);
        assert_eq!(tiles.len(), 2);
        let mut blend = Blend::new(tiles);
        blend.add(0, &[-40.0; 4]);
        blend.add(1, &[40.0; 4]);
        let blended = blend.finish();
        for (value, expected) in blended.values().iter().zip([0.0, 0.0, 0.25, 0.75, 1.0, 1.0]) {
            assert!((value - expected).abs() < 1e-6, "{:?}", blended.values());
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_and_put_together_is_the_picture(
            height in 1..40usize, width in 1..40usize, tile in 1..16usize, overlap in 0..9usize,
        ) {
            let overlap = overlap.min(tile / 2);
            let logit = |i: usize| (i * 7 % 23) as f32 / 4.0 - 2.5;
            let picture = Plane::new(height, width, (0..height * width).map(logit).collect()).unwrap();
            let tiles = Tiles::new((height, width), (tile, tile), overlap);
            let mut blend = Blend::new(tiles.clone());
            for index in 0..tiles.len() {
                blend.add(index, &tiles.cut(&picture, index));
            }
            for (probability, logit) in blend.finish().values().iter().zip(picture.values()) {
                prop_assert!((probability - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-5);
            }
        }

        #[test]
        fn neighbours_share_at_least_the_overlap(length in 1..500usize, tile in 1..64usize, overlap in 0..32usize) {
            let overlap = overlap.min(tile / 2);
            let axis = Axis::new(length, tile, overlap);
            for pair in axis.starts.windows(2) {
                prop_assert!(pair[0] < pair[1] && pair[1] - pair[0] <= (tile - overlap) as i64);
            }
            let end = axis.starts.last().unwrap() + tile as i64;
            prop_assert!(length <= tile || (axis.starts[0] == 0 && end == length as i64));
        }
    }
}
