//! The eight ways in which a picture can be turned by right angles and mirrored.

use atelier_transforms::segmentation::Plane;

/// One of them: transposed or not, then turned upside down or not, then left to right or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    transposed: bool,
    upside_down: bool,
    mirrored: bool,
}

/// All of them.
pub(super) const ALL: [Way; 8] = [
    Way { transposed: false, upside_down: false, mirrored: false },
    Way { transposed: false, upside_down: false, mirrored: true },
    Way { transposed: false, upside_down: true, mirrored: false },
    Way { transposed: false, upside_down: true, mirrored: true },
    Way { transposed: true, upside_down: false, mirrored: false },
    Way { transposed: true, upside_down: false, mirrored: true },
    Way { transposed: true, upside_down: true, mirrored: false },
    Way { transposed: true, upside_down: true, mirrored: true },
];

impl Way {
    /// The picture turned this way.
    pub(super) fn apply(self, picture: &Plane) -> Plane {
        let turned = if self.transposed { transpose(picture) } else { picture.clone() };
        self.flip(&turned)
    }

    /// The picture that was turned this way.
    pub(super) fn undo(self, turned: &Plane) -> Plane {
        let flipped = self.flip(turned);
        if self.transposed { transpose(&flipped) } else { flipped }
    }

    fn flip(self, picture: &Plane) -> Plane {
        let (height, width) = (picture.height(), picture.width());
        build(height, width, |y, x| {
            let y = if self.upside_down { height - 1 - y } else { y };
            let x = if self.mirrored { width - 1 - x } else { x };
            picture.values()[y * width + x]
        })
    }
}

fn transpose(picture: &Plane) -> Plane {
    build(picture.width(), picture.height(), |y, x| picture.values()[x * picture.width() + y])
}

fn build(height: usize, width: usize, value: impl Fn(usize, usize) -> f32) -> Plane {
    let value = &value;
    let values = (0..height).flat_map(|y| (0..width).map(move |x| value(y, x))).collect();
    // As many as there are pixels, and a picture has one at least.
    Plane::new(height, width, values).unwrap_or_else(|| unreachable!("{height} x {width}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_ways_differ_and_each_is_undone() {
        let picture = Plane::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let turned: Vec<Plane> = ALL.iter().map(|way| way.apply(&picture)).collect();
        for (i, (way, plane)) in ALL.iter().zip(&turned).enumerate() {
            assert_eq!(way.undo(plane), picture);
            assert!(turned[..i].iter().all(|other| other != plane), "{way:?}");
        }
        // A quarter turn is a transposition and a mirroring.
        assert_eq!(turned[5], Plane::new(3, 2, vec![4.0, 1.0, 5.0, 2.0, 6.0, 3.0]).unwrap());
    }
}
