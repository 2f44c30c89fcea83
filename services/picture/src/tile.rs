//! Many pictures as one.

use atelier_package::ImageShape;

use crate::Picture;

/// What is between pictures: white, which pictures on black and pictures of faces both stand out from.
const BETWEEN: f32 = 1.0;

/// How many columns make about a square of `count` pictures.
pub fn columns(count: usize) -> usize {
    let mut side = 1;
    while side * side < count {
        side += 1;
    }
    side
}

/// Pictures of one shape side by side, row by row from the left, a white pixel around and between them; what
/// is left of the last row is white. `None` where there is no picture, or their shapes differ.
pub fn tile(pictures: &[Picture], columns: usize) -> Option<Picture> {
    let shape = pictures.first()?.shape;
    let ImageShape { channels, height, width } = shape;
    let whole =
        |picture: &Picture| picture.shape == shape && picture.values.len() == channels * height * width;
    if width == 0 || !pictures.iter().all(whole) {
        return None;
    }
    let columns = columns.clamp(1, pictures.len());
    let (rows, (down, right)) = (pictures.len().div_ceil(columns), (height + 1, width + 1));
    let all = ImageShape { channels, height: 1 + rows * down, width: 1 + columns * right };
    let mut values = vec![BETWEEN; channels * all.height * all.width];
    for (number, picture) in pictures.iter().enumerate() {
        let (top, left) = (1 + number / columns * down, 1 + number % columns * right);
        for (line, from) in picture.values.chunks(width).enumerate() {
            let (channel, y) = (line / height, line % height);
            let start = (channel * all.height + top + y) * all.width + left;
            // Always there: that is how large it was made.
            if let Some(to) = values.get_mut(start..start + width) {
                to.copy_from_slice(from);
            }
        }
    }
    Some(Picture { shape: all, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(channels: usize, level: f32) -> Picture {
        Picture { shape: ImageShape { channels, height: 1, width: 2 }, values: vec![level; channels * 2] }
    }

    #[test]
    fn pictures_fill_rows_from_the_left_with_white_between() {
        let grid = tile(&[plain(1, 0.1), plain(1, 0.2), plain(1, 0.3)], 2).unwrap();
        assert_eq!(grid.shape, ImageShape { channels: 1, height: 5, width: 7 });
        let rows: Vec<&[f32]> = grid.values.chunks(7).collect();
        assert_eq!(rows[1], [1.0, 0.1, 0.1, 1.0, 0.2, 0.2, 1.0]);
        assert_eq!(rows[3], [1.0, 0.3, 0.3, 1.0, 1.0, 1.0, 1.0]);
        for white in [0, 2, 4] {
            assert_eq!(rows[white], [1.0; 7]);
        }
    }

    #[test]
    fn each_channel_keeps_its_plane() {
        let mut picture = plain(3, 0.0);
        picture.values = vec![0.1, 0.1, 0.2, 0.2, 0.3, 0.3];
        let grid = tile(&[picture], 4).unwrap();
        assert_eq!(grid.shape, ImageShape { channels: 3, height: 3, width: 4 });
        for (plane, level) in grid.values.chunks(12).zip([0.1, 0.2, 0.3]) {
            assert_eq!(plane[5..7], [level; 2]);
        }
    }

    #[test]
    fn what_does_not_belong_together_is_no_grid() {
        assert_eq!(tile(&[], 1), None);
        assert_eq!(tile(&[plain(1, 0.0), plain(3, 0.0)], 1), None);
        assert_eq!([1, 2, 4, 5, 9, 10, 64].map(columns), [1, 2, 2, 3, 3, 4, 8]);
    }
}
