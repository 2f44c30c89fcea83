//! Images of 28 x 28 changed in ways that leave their class as it is.

use rand::Rng;

use crate::random::unit;

/// Height and width.
pub(super) const SIDE: usize = 28;

/// How strongly images are changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strength {
    /// Pixels that an image is moved by at most, in both directions.
    pub(super) shift: usize,
    /// Part of the images in which a rectangle is erased (Zhong et al. 2020).
    pub(super) erased: f64,
}

/// A number in `0..count`, `count` being small.
fn below<R: Rng>(rng: &mut R, count: usize) -> usize {
    (rng.next_u64() % count.max(1) as u64) as usize
}

/// Half of the time mirrored, moved (black comes in), and with a rectangle of noise in it: pixels in [0, 1].
pub(super) fn augment<R: Rng>(pixels: &[u8], strength: Strength, rng: &mut R, out: &mut Vec<f32>) {
    let mirrored = unit(rng) < 0.5;
    let span = 2 * strength.shift + 1;
    let (right, down) = (below(rng, span), below(rng, span));
    let start = out.len();
    for y in 0..SIDE {
        for x in 0..SIDE {
            // Where the pixel comes from; outside of the image it is black.
            let (from_x, from_y) =
                ((x + right).checked_sub(strength.shift), (y + down).checked_sub(strength.shift));
            let at = from_x.zip(from_y).filter(|&(x, y)| x < SIDE && y < SIDE);
            let at = at.map(|(x, y)| y * SIDE + if mirrored { SIDE - 1 - x } else { x });
            out.push(at.and_then(|at| pixels.get(at)).map_or(0.0, |&v| f32::from(v) / 255.0));
        }
    }
    if unit(rng) < strength.erased {
        // From a fiftieth to a third of the image's area.
        let (height, width) = (4 + below(rng, 13), 4 + below(rng, 13));
        let (top, left) = (below(rng, SIDE - height + 1), below(rng, SIDE - width + 1));
        for row in out[start..].chunks_mut(SIDE).skip(top).take(height) {
            for value in &mut row[left..left + width] {
                *value = unit(rng) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

    fn augmented(strength: Strength, seed: u64) -> Vec<f32> {
        let pixels: Vec<u8> = (0..SIDE * SIDE).map(|i| if i == 10 * SIDE + 5 { 255 } else { 51 }).collect();
        let mut out = Vec::new();
        augment(&pixels, strength, &mut generator(&[seed]), &mut out);
        out
    }

    #[test]
    fn a_pixel_moves_no_further_than_it_may_and_half_of_the_images_are_mirrored() {
        let mut mirrored = 0;
        for seed in 0..200 {
            let image = augmented(Strength { shift: 2, erased: 0.0 }, seed);
            assert_eq!(image.len(), SIDE * SIDE);
            let at = image.iter().position(|&v| v == 1.0).unwrap();
            let (x, y) = (at % SIDE, at / SIDE);
            assert!((8..=12).contains(&y), "{y}");
            let left = (3..=7).contains(&x);
            assert!(left || (20..=24).contains(&x), "{x}");
            mirrored += usize::from(!left);
        }
        assert!((70..130).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn what_is_erased_is_a_rectangle_and_the_rest_stays() {
        for seed in 0..50 {
            let image = augmented(Strength { shift: 0, erased: 1.0 }, seed);
            let changed: Vec<usize> =
                (0..image.len()).filter(|&i| image[i] != 0.2 && image[i] != 1.0).collect();
            let columns = || changed.iter().map(|i| i % SIDE);
            let (left, right) = (columns().min().unwrap(), columns().max().unwrap());
            let (top, bottom) = (changed[0] / SIDE, changed[changed.len() - 1] / SIDE);
            let (width, height) = (right - left + 1, bottom - top + 1);
            assert!((4..=16).contains(&width) && (4..=16).contains(&height), "{width} x {height}");
            // All of the rectangle but a pixel that was drawn as it had been.
            assert!(changed.len() + 1 >= width * height);
        }
    }
}
