//! Penalties on the slope of a discriminator.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Norms are taken over more than this, so that their gradient is finite at 0.
const TINY: f64 = 1e-12;

/// A penalty on the gradient of a score by the image that is scored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Penalty {
    /// `weight / 2` times the square of the gradient at real images: R1 (Mescheder, Geiger and Nowozin 2018).
    /// Taken in every `every`-th step only, `every` times as heavy (Karras et al. 2020, appendix B).
    ZeroCentred {
        /// The paper's gamma.
        weight: f64,
        /// Steps from one to the next, at least 1.
        every: u64,
    },
    /// `weight` times the square of the gradient's norm less 1, at points between real and generated images:
    /// WGAN-GP (Gulrajani et al. 2017).
    OneCentred {
        /// The paper's lambda.
        weight: f64,
    },
}

impl Penalty {
    /// Says which field is out of range.
    ///
    /// # Errors
    /// The field, its value and its range.
    pub fn validate(&self) -> Result<(), String> {
        let (Self::ZeroCentred { weight, .. } | Self::OneCentred { weight }) = self;
        if !(*weight > 0.0 && *weight <= 1e4) {
            return Err(format!("family.penalty.weight is {weight}, it must lie in (0, 10000]"));
        }
        match self {
            Self::ZeroCentred { every: 0, .. } => Err("family.penalty.every must be at least 1".into()),
            _ => Ok(()),
        }
    }

    /// The penalty of step `step`, a scalar that can be minimised, or `None` in a step that goes without.
    /// `score` maps images to f32 scores `[n]`; the gradients are those of the scores' sum. `real` and `fake`
    /// are images of one shape.
    pub fn of(
        &self,
        step: u64,
        real: &Tensor,
        fake: &Tensor,
        score: impl FnOnce(&Tensor) -> Tensor,
    ) -> Option<Tensor> {
        match self {
            Self::ZeroCentred { weight, every } => {
                let squares =
                    step.is_multiple_of(*every).then(|| squared_slopes(real, score).mean(Kind::Float))?;
                Some(squares * (0.5 * weight * *every as f64))
            }
            Self::OneCentred { weight } => {
                let mut shape = vec![1i64; real.dim()];
                shape[0] = real.size()[0];
                let share = Tensor::rand(shape, (Kind::Float, real.device()));
                let between = real + share * (fake - real);
                let norms = (squared_slopes(&between, score) + TINY).sqrt();
                Some((norms - 1.0).square().mean(Kind::Float) * *weight)
            }
        }
    }
}

/// The square of the gradient's norm at each image, `[n]`, itself with a gradient.
fn squared_slopes(images: &Tensor, score: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    let images = images.detach().set_requires_grad(true);
    let sum = score(&images).sum(Kind::Float);
    let gradient = Tensor::run_backward(&[sum], &[&images], true, true).remove(0);
    gradient.to_kind(Kind::Float).square().flatten(1, -1).sum_dim_intlist(
        [1i64].as_slice(),
        false,
        Kind::Float,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pictures of 2 x 2 and a score whose gradient is `weights` everywhere.
    fn linear() -> (Tensor, Tensor, Tensor) {
        let weights = Tensor::from_slice(&[2.0f32, 0.0, 1.0, 2.0]).reshape([1, 1, 2, 2]);
        let images = Tensor::arange(8, (Kind::Float, tch::Device::Cpu)).reshape([2, 1, 2, 2]);
        (weights.set_requires_grad(true), &images * 0.1, images * -0.2)
    }

    fn score(weights: &Tensor, x: &Tensor) -> Tensor {
        (x * weights).sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float)
    }

    #[test]
    fn the_slope_of_a_linear_score_is_its_weights() {
        let (weights, real, fake) = linear();
        let r1 = Penalty::ZeroCentred { weight: 0.5, every: 4 };
        let penalty = r1.of(8, &real, &fake, |x| score(&weights, x)).unwrap();
        // 0.5 / 2 times 4 steps times 2^2 + 1^2 + 2^2.
        assert!((penalty.double_value(&[]) - 9.0).abs() < 1e-5, "{penalty:?}");
        penalty.backward();
        // Its gradient by the weights: 2 x weights; the penalty can be minimised.
        let difference = weights.grad() - weights.detach() * 2.0;
        assert!(difference.abs().max().double_value(&[]) < 1e-5);

        let (weights, real, fake) = linear();
        let gp = Penalty::OneCentred { weight: 10.0 };
        let penalty = gp.of(3, &real, &fake, |x| score(&weights, x)).unwrap();
        assert!((penalty.double_value(&[]) - 10.0 * (3.0f64 - 1.0).powi(2)).abs() < 1e-4, "{penalty:?}");
        penalty.backward();
        // 10 x 2 (|w| - 1) w / |w|.
        let difference = weights.grad() - weights.detach() * (40.0 / 3.0);
        assert!(difference.abs().max().double_value(&[]) < 1e-3);
    }

    #[test]
    fn a_lazy_penalty_skips_steps() {
        let (weights, real, fake) = linear();
        let r1 = Penalty::ZeroCentred { weight: 0.5, every: 4 };
        let taken: Vec<bool> =
            (0..8).map(|step| r1.of(step, &real, &fake, |x| score(&weights, x)).is_some()).collect();
        assert_eq!(taken, [true, false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_penalty_that_makes_no_sense_names_its_field() {
        let said = |p: Penalty| p.validate().unwrap_err();
        assert!(said(Penalty::ZeroCentred { weight: 1.0, every: 0 }).contains("family.penalty.every"));
        assert!(said(Penalty::OneCentred { weight: -1.0 }).contains("family.penalty.weight is -1"));
    }
}
