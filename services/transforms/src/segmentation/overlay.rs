//! A mask to look at, over the picture that it was made of.

use super::{Mask, Plane};

/// The colour of outlines, from 0 to 1: an orange that stands out from black and from white.
const OUTLINE: [f32; 3] = [1.0, 0.35, 0.1];

/// The picture, as grey levels from 0 to 1, with the outline of the mask's foreground drawn over it: red,
/// green and blue, each row by row. The two must be of one size.
pub fn overlay(picture: &Plane, mask: &Mask) -> [Vec<f32>; 3] {
    let rim = mask.rim();
    OUTLINE.map(|level| {
        let pixels = picture.values().iter().zip(rim.pixels());
        pixels.map(|(grey, outline)| if *outline { level } else { *grey }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outline_is_coloured() {
        let mut pixels = vec![false; 25];
        for at in [6, 7, 8, 11, 12, 13, 16, 17, 18] {
            pixels[at] = true;
        }
        let mask = Mask::new(5, 5, pixels).unwrap();
        let planes = overlay(&Plane::new(5, 5, vec![0.5; 25]).unwrap(), &mask);
        for (plane, level) in planes.iter().zip(OUTLINE) {
            assert_eq!(plane.iter().filter(|x| **x == level).count(), 8);
            assert_eq!((plane[12], plane[0]), (0.5, 0.5), "inside and outside");
        }
    }
}
