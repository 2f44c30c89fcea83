//! Random changes of pictures that leave what they show the same.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How far pictures are changed. At 0 everywhere they stay as they are.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Chance of being turned left to right.
    pub mirror: f64,
    /// Moved by up to this part of the size, both ways.
    pub shift: f64,
    /// Enlarged by up to this part: at 0.5 a picture may show only the middle half of its width.
    pub zoom: f64,
    /// Turned by up to this many degrees.
    pub degrees: f64,
    /// Brightness, contrast, saturation and the balance of colours change by up to this part.
    pub colour: f64,
    /// Chance of losing all colour.
    pub grey: f64,
    /// Chance of being blurred, by a random amount.
    pub blur: f64,
}

/// Weights of red, green and blue in a grey picture (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl Augmentation {
    /// Says which field is out of range; `at` is the table's name.
    pub(crate) fn validate(&self, at: &str) -> Result<(), String> {
        let parts = [
            ("mirror", self.mirror),
            ("shift", self.shift),
            ("zoom", self.zoom),
            ("colour", self.colour),
            ("grey", self.grey),
            ("blur", self.blur),
        ];
        for (name, value) in parts {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{at}.{name} is {value}, it must lie in [0, 1)"));
            }
        }
        if !(0.0..=180.0).contains(&self.degrees) {
            return Err(format!("{at}.degrees is {}, it must lie in [0, 180]", self.degrees));
        }
        Ok(())
    }

    /// Changes each of `[n, 3, h, w]` in [0, 1] on its own, with libtorch's generator. Gradients flow through.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        let moved = self.move_about(images);
        self.recolour(&moved).clamp(0.0, 1.0)
    }

    /// Mirrors, shifts, zooms and turns; what comes into view at the edges is mirrored there.
    fn move_about(&self, images: &Tensor) -> Tensor {
        let draw = Draw { images };
        let angle = draw.about(0.0, self.degrees.to_radians());
        let scale = 1.0 - draw.unit() * self.zoom;
        let side = 1.0 - draw.chance(self.mirror) * 2.0;
        let (cos, sin) = (angle.cos() * &scale, angle.sin() * &scale);
        // Coordinates run from -1 to 1: a shift by the whole size is 2.
        let across = Tensor::stack(&[&cos * &side, -&sin, draw.about(0.0, 2.0 * self.shift)], 1);
        let down = Tensor::stack(&[sin * side, cos, draw.about(0.0, 2.0 * self.shift)], 1);
        let grid = Tensor::affine_grid_generator(&Tensor::stack(&[across, down], 1), images.size(), false);
        let (bilinear, reflected) = (0, 2);
        images.grid_sampler(&grid, bilinear, reflected, false)
    }

    fn recolour(&self, images: &Tensor) -> Tensor {
        let draw = Draw { images };
        let spread = |x: Tensor| x.reshape([-1, 1, 1, 1]);
        let mut x = images.shallow_clone();
        if self.blur > 0.0 {
            let amount = spread(draw.chance(self.blur) * draw.unit());
            let soft = x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None);
            x = &x + (soft - &x) * amount;
        }
        let luma = Tensor::from_slice(&LUMA).reshape([1, 3, 1, 1]).to_device(images.device());
        let grey = |x: &Tensor| (x * &luma).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        if self.colour > 0.0 {
            let balance = Tensor::rand([images.size()[0], 3, 1, 1], (Kind::Float, images.device()));
            x = x * ((balance - 0.5) * self.colour + 1.0) * spread(draw.about(1.0, self.colour));
            let mean = x.mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float);
            x = (x - &mean) * spread(draw.about(1.0, self.colour)) + mean;
        }
        if self.colour > 0.0 || self.grey > 0.0 {
            let kept = draw.about(1.0, self.colour) * (1.0 - draw.chance(self.grey));
            let plain = grey(&x);
            x = (x - &plain) * spread(kept) + plain;
        }
        x
    }
}

/// One random number for each picture, f32 `[n]`.
struct Draw<'a> {
    images: &'a Tensor,
}

impl Draw<'_> {
    fn unit(&self) -> Tensor {
        Tensor::rand([self.images.size()[0]], (Kind::Float, self.images.device()))
    }

    fn about(&self, middle: f64, reach: f64) -> Tensor {
        (self.unit() - 0.5) * (2.0 * reach) + middle
    }

    fn chance(&self, chance: f64) -> Tensor {
        self.unit().lt(chance).to_kind(Kind::Float)
    }
}
