//! Training crops that differ each time: turned, bent, scaled, and taken with another exposure, noise and
//! focus.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How much crops are varied.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Height and width of a crop; at most the images' own.
    pub crop: usize,
    /// Chance that a crop is scaled, turned by any angle and bent; the others are only turned by right
    /// angles and mirrored, and keep their pixels.
    pub warp: f64,
    /// A warped crop is magnified by 1 to this, or by 1 to its inverse.
    pub scale: f64,
    /// Standard deviation in pixels of the displacements at the knots of a coarse grid.
    pub bend: f64,
    /// Brightness is raised to a power of 1 to this, or 1 to its inverse.
    pub gamma: f64,
    /// Brightness is multiplied by 1 to this, or 1 to its inverse.
    pub gain: f64,
    /// The black level is moved by at most this part of the whole range.
    pub offset: f64,
    /// Greatest standard deviation of noise that is the same everywhere, as a part of the whole range.
    pub noise: f64,
    /// The same for the noise of counted photons, where the picture is brightest.
    pub shot_noise: f64,
    /// Chance that a crop is blurred.
    pub blur: f64,
}

/// Pixels between the knots of the grid that bends a crop.
const KNOTS: i64 = 32;

impl AugmentConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        for (name, value) in [("warp", self.warp), ("blur", self.blur)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("family.augment.{name} is {value}, it must lie in [0, 1]"));
            }
        }
        for (name, value) in [("scale", self.scale), ("gamma", self.gamma), ("gain", self.gain)] {
            if !(1.0..=4.0).contains(&value) {
                return Err(format!("family.augment.{name} is {value}, it must lie in [1, 4]"));
            }
        }
        for (name, value) in [("offset", self.offset), ("noise", self.noise), ("shot_noise", self.shot_noise)]
        {
            if !(0.0..=0.5).contains(&value) {
                return Err(format!("family.augment.{name} is {value}, it must lie in [0, 0.5]"));
            }
        }
        if (0.0..=20.0).contains(&self.bend) {
            Ok(())
        } else {
            Err("family.augment.bend must lie in [0, 20]".into())
        }
    }

    /// Crops of `images` and `masks`, f32 `[n, 1, size, size]`, one each, with libtorch's generator.
    ///
    /// Images are linear in brightness, 0 to 1 between their percentiles; the crops are clipped to [0, 1],
    /// before any curve. Masks are 0 or 1, the crops' too.
    pub(super) fn apply(&self, images: &Tensor, masks: &Tensor) -> (Tensor, Tensor) {
        let grid = self.places(images.size()[0], images.size()[2], (Kind::Float, images.device()));
        // Bilinear, with the picture mirrored around it.
        let sample = |x: &Tensor| x.grid_sampler(&grid, 0, 2, true);
        let masks = sample(masks).gt(0.5).to_kind(Kind::Float);
        (self.expose(&sample(images)), masks)
    }

    /// Where each crop's pixels come from, as libtorch wants it: `[n, crop, crop, 2]`, x and y, -1 and 1 the
    /// centres of the first and last pixel.
    fn places(&self, n: i64, size: i64, like: (Kind, tch::Device)) -> Tensor {
        let crop = self.crop as i64;
        let uniform = |low: f64, high: f64| Tensor::rand([n, 1, 1], like) * (high - low) + low;
        let warped = Tensor::rand([n, 1, 1], like).lt(self.warp).to_kind(Kind::Float);
        // A right angle, and any other for those that are warped.
        let quarter = std::f64::consts::FRAC_PI_2;
        let angle = uniform(0.0, 4.0).floor() * quarter + uniform(0.0, quarter) * &warped;
        let flip = uniform(0.0, 1.0).lt(0.5).to_kind(Kind::Float) * 2.0 - 1.0;
        let scale = (uniform(-1.0, 1.0) * self.scale.ln() * &warped).exp();
        let (cos, sin) = (angle.cos() / &scale, angle.sin() / &scale);
        let middle = (crop - 1) as f64 / 2.0;
        let steps = Tensor::arange(crop, like) - middle;
        let (x, y) = (steps.reshape([1, 1, crop]) * flip, steps.reshape([1, crop, 1]));
        let knots = (crop / KNOTS).max(1) + 1;
        let bend =
            Tensor::randn([n, 2, knots, knots], like).upsample_bicubic2d([crop, crop], true, None, None)
                * self.bend
                * warped.unsqueeze(1);
        // Crops start at whole pixels, so that one that is not warped keeps its pixels just as they are.
        let corner = || uniform(0.0, (size - crop + 1) as f64).floor() + middle;
        let from_x = &x * &cos - &y * &sin + bend.select(1, 0) + corner();
        let from_y = &x * &sin + &y * &cos + bend.select(1, 1) + corner();
        Tensor::stack(&[from_x, from_y], 3) * (2.0 / (size - 1) as f64) - 1.0
    }

    /// Another exposure, focus and noise.
    fn expose(&self, crops: &Tensor) -> Tensor {
        let n = crops.size()[0];
        let like = (Kind::Float, crops.device());
        let uniform = |low: f64, high: f64| Tensor::rand([n, 1, 1, 1], like) * (high - low) + low;
        let factor = |most: f64| (uniform(-1.0, 1.0) * most.ln()).exp();
        let blurred = crops.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>);
        let blur = uniform(0.0, 1.0).lt(self.blur).to_kind(Kind::Float) * uniform(0.0, 1.0);
        let x = crops + (blurred - crops) * blur;
        let x = x * factor(self.gain) + uniform(-self.offset, self.offset);
        let variance =
            uniform(0.0, self.noise).square() + uniform(0.0, self.shot_noise).square() * x.clamp(0.0, 1.0);
        let x = &x + x.randn_like() * variance.sqrt();
        x.clamp(0.0, 1.0).pow(&factor(self.gamma))
    }
}
