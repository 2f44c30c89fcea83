//! Holes in images: which pixels are to be filled.

use rand::Rng;

use crate::random;

/// What a hole looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// A square in the middle with half the image's side: a quarter of its pixels.
    Centre,
    /// One or two rectangles anywhere, of a quarter to two thirds of the image's side each way.
    Rectangles,
    /// Two to five strokes of a brush that wanders (free-form holes, Yu et al. 2019).
    Strokes,
}

impl Hole {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Centre, Self::Rectangles, Self::Strokes];

    /// For figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::Rectangles => "rectangles",
            Self::Strokes => "strokes",
        }
    }

    /// Draws one: `side * side` pixels, row by row, 1 where the hole is and 0 elsewhere. `side` is at least 8.
    /// There is always a hole, and never all of the image.
    pub fn draw<R: Rng>(self, side: usize, rng: &mut R) -> Vec<f32> {
        let mut mask = Canvas { side, pixels: vec![0.0; side * side] };
        match self {
            Self::Centre => mask.rectangle(side / 4, side / 4, side / 2, side / 2),
            Self::Rectangles => {
                for _ in 0..=below(rng, 2) {
                    let mut span = || side / 4 + below(rng, side * 2 / 3 - side / 4 + 1);
                    let (width, height) = (span(), span());
                    let (left, top) = (below(rng, side - width + 1), below(rng, side - height + 1));
                    mask.rectangle(left, top, width, height);
                }
            }
            Self::Strokes => {
                for _ in 0..2 + below(rng, 4) {
                    mask.stroke(rng);
                }
            }
        }
        mask.pixels
    }
}

/// A number in `0..count`, `count` being small.
fn below<R: Rng>(rng: &mut R, count: usize) -> usize {
    (rng.next_u64() % count.max(1) as u64) as usize
}

struct Canvas {
    side: usize,
    pixels: Vec<f32>,
}

impl Canvas {
    fn rectangle(&mut self, left: usize, top: usize, width: usize, height: usize) {
        for row in self.pixels.chunks_mut(self.side).skip(top).take(height) {
            for pixel in row.iter_mut().skip(left).take(width) {
                *pixel = 1.0;
            }
        }
    }

    /// A brush of 2 to 4 pixels that goes half a side to a whole one, turning a little at each step.
    fn stroke<R: Rng>(&mut self, rng: &mut R) {
        let side = self.side as f64;
        let mut unit = || random::unit(rng);
        let brush = 2 + (unit() * 3.0) as usize;
        let (mut x, mut y) = (unit() * side, unit() * side);
        let mut direction = unit() * std::f64::consts::TAU;
        let steps = (side * (0.5 + 0.5 * unit())) as usize;
        for _ in 0..steps {
            let corner = |at: f64| at.clamp(0.0, side - 1.0) as usize;
            self.rectangle(corner(x), corner(y), brush, brush);
            direction += (unit() - 0.5) * 1.2;
            (x, y) = (x + direction.cos(), y + direction.sin());
            // It turns back at the border.
            if !(0.0..side).contains(&x) || !(0.0..side).contains(&y) {
                direction += std::f64::consts::PI;
                (x, y) = (x.clamp(0.0, side - 1.0), y.clamp(0.0, side - 1.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

    #[test]
    fn a_hole_is_never_nothing_and_never_everything() {
        for hole in Hole::ALL {
            let mut parts = Vec::new();
            for seed in 0..300 {
                let mask = hole.draw(28, &mut generator(&[seed]));
                assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0));
                parts.push(mask.iter().sum::<f32>() / 784.0);
            }
            let (least, most) =
                (parts.iter().copied().fold(1.0, f32::min), parts.iter().copied().fold(0.0, f32::max));
            assert!(least >= 0.02 && most <= 0.9, "{hole:?}: {least} to {most}");
            let differ = parts.iter().any(|p| *p != parts[0]);
            assert_eq!(differ, hole != Hole::Centre);
        }
    }

    #[test]
    fn the_centre_is_a_quarter_in_the_middle() {
        let mask = Hole::Centre.draw(28, &mut generator(&[1]));
        for (i, &m) in mask.iter().enumerate() {
            let inside = (7..21).contains(&(i % 28)) && (7..21).contains(&(i / 28));
            assert_eq!(m == 1.0, inside, "{i}");
        }
    }

    #[test]
    fn the_same_generator_draws_the_same_hole() {
        for hole in Hole::ALL {
            assert_eq!(hole.draw(28, &mut generator(&[5])), hole.draw(28, &mut generator(&[5])));
        }
    }
}
