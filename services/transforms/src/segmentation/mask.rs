//! Foreground and background, and the pieces of the foreground.

use super::Plane;

/// What is foreground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    /// Row by row.
    pixels: Vec<bool>,
}

impl Mask {
    /// `None` unless there are `height * width` pixels, at least one.
    pub fn new(height: usize, width: usize, pixels: Vec<bool>) -> Option<Self> {
        let right = !pixels.is_empty() && height.checked_mul(width) == Some(pixels.len());
        right.then_some(Self { height, width, pixels })
    }

    /// The pixels whose value is at least `threshold`.
    pub fn of(plane: &Plane, threshold: f32) -> Self {
        let pixels = plane.values.iter().map(|x| *x >= threshold).collect();
        Self { height: plane.height, width: plane.width, pixels }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// How many pixels are foreground.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|p| **p).count()
    }

    /// The sizes in pixels of the connected pieces of foreground, in the order of their first pixels. Pixels
    /// are connected that share a side.
    pub fn pieces(&self) -> Vec<usize> {
        self.flood().into_iter().map(|piece| piece.len()).collect()
    }

    /// The mask without the pieces of fewer than `smallest` pixels.
    #[must_use]
    pub fn without_specks(mut self, smallest: usize) -> Self {
        for piece in self.flood().iter().filter(|piece| piece.len() < smallest) {
            for &at in piece {
                if let Some(pixel) = self.pixels.get_mut(at) {
                    *pixel = false;
                }
            }
        }
        self
    }

    /// The foreground pixels with background on one of their four sides. The picture's edge is no border.
    #[must_use]
    pub fn rim(&self) -> Self {
        let inside = |at: usize| self.neighbours(at).into_iter().flatten().all(|n| self.at(n));
        let pixels = (0..self.pixels.len()).map(|at| self.at(at) && !inside(at)).collect();
        Self { pixels, ..*self }
    }

    fn at(&self, at: usize) -> bool {
        self.pixels.get(at).copied().unwrap_or(false)
    }

    /// The mask of which every foreground pixel has grown to all pixels whose centres lie within `radius`
    /// pixels of its own.
    #[must_use]
    pub fn widened(&self, radius: usize) -> Self {
        let reach = radius as i64;
        let disc: Vec<(i64, i64)> = (-reach..=reach)
            .flat_map(|y| (-reach..=reach).map(move |x| (y, x)))
            .filter(|(y, x)| y * y + x * x <= reach * reach)
            .collect();
        let mut pixels = vec![false; self.pixels.len()];
        for (at, _) in self.pixels.iter().enumerate().filter(|(_, p)| **p) {
            let (row, column) = ((at / self.width) as i64, (at % self.width) as i64);
            for (y, x) in disc.iter().map(|(y, x)| (row + y, column + x)) {
                if (0..self.width as i64).contains(&x)
                    && let Ok(place) = usize::try_from(y * self.width as i64 + x)
                    && let Some(pixel) = pixels.get_mut(place)
                {
                    *pixel = true;
                }
            }
        }
        Self { pixels, ..*self }
    }

    /// Above, left, right and below, where the picture has not ended.
    fn neighbours(&self, at: usize) -> [Option<usize>; 4] {
        let column = at % self.width;
        [
            at.checked_sub(self.width),
            (column > 0).then(|| at.wrapping_sub(1)),
            (column + 1 < self.width).then_some(at + 1),
            Some(at + self.width).filter(|below| *below < self.pixels.len()),
        ]
    }

    /// The pieces, each as the places of its pixels.
    fn flood(&self) -> Vec<Vec<usize>> {
        let mut left = self.pixels.clone();
        let mut take = |at: usize| left.get_mut(at).is_some_and(std::mem::take);
        let mut pieces = Vec::new();
        for start in 0..self.pixels.len() {
            if !take(start) {
                continue;
            }
            let mut piece = vec![start];
            let mut next = 0;
            while let Some(&at) = piece.get(next) {
                next += 1;
                piece.extend(self.neighbours(at).into_iter().flatten().filter(|n| take(*n)));
            }
            pieces.push(piece);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let pixels = rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect();
        Mask::new(rows.len(), rows[0].len(), pixels).unwrap()
    }

    #[test]
    fn pieces_are_told_apart_even_where_their_corners_touch() {
        let mask = mask(&["##..#", "#..#.", "..##.", "#...#"]);
        assert_eq!(mask.area(), 9);
        assert_eq!(mask.pieces(), [3, 1, 3, 1, 1]);
    }

    #[test]
    fn a_piece_does_not_go_on_at_the_other_edge() {
        assert_eq!(mask(&["..#", "#..", "..#"]).pieces(), [1, 1, 1]);
    }

    #[test]
    fn specks_go_and_the_rest_stays() {
        let wiped = mask(&["##..#", "#..#.", "..##.", "#...#"]).without_specks(3);
        assert_eq!(wiped, mask(&["##...", "#..#.", "..##.", "....."]));
        assert_eq!(wiped.clone().without_specks(0), wiped);
    }

    #[test]
    fn a_rim_is_one_pixel_wide_and_does_not_run_along_the_pictures_edge() {
        let rim = mask(&["####.", "####.", "####.", "####.", "....."]).rim();
        assert_eq!(rim, mask(&["...#.", "...#.", "...#.", "####.", "....."]));
    }

    #[test]
    fn a_widened_mask_is_round_and_ends_at_the_pictures_edge() {
        let dot = mask(&["#.....", "......", "......", "......"]).widened(2);
        assert_eq!(dot, mask(&["###...", "##....", "#.....", "......"]));
        let dot = mask(&["......", "......", "......", ".....#"]).widened(1);
        assert_eq!(dot, mask(&["......", "......", ".....#", "....##"]));
    }

    #[test]
    fn the_threshold_itself_is_foreground() {
        let plane = Plane::new(1, 3, vec![0.49, 0.5, f32::NAN]).unwrap();
        assert_eq!(Mask::of(&plane, 0.5).pixels(), [false, true, false]);
    }
}
