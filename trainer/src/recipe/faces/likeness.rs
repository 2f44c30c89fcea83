//! How far faces that were made are from those that they should be.

use tch::{Kind, Tensor};

/// Sides of the squares whose means are compared, in pixels.
const SCALES: [i64; 3] = [1, 2, 4];

/// Mean absolute difference of pixels and of means over squares of them.
pub(super) fn distance(made: &Tensor, images: &Tensor) -> Tensor {
    let difference = made - images;
    let parts = SCALES.map(|side| {
        let part = if side == 1 {
            difference.shallow_clone()
        } else {
            difference.avg_pool2d([side; 2], [side; 2], [0, 0], false, true, None)
        };
        part.abs().mean(Kind::Float)
    });
    Tensor::stack(&parts, 0).mean(Kind::Float)
}

/// Mean absolute difference of what a critic sees, summed over its maps, of which `made` may have more rows
/// (learned similarity of Larsen et al. 2016).
pub(super) fn features(made: &[Tensor], known: &[Tensor]) -> Tensor {
    let parts = known.iter().zip(made).map(|(known, made)| {
        let made = made.narrow(0, 0, known.size()[0]).to_kind(Kind::Float);
        (made - known.to_kind(Kind::Float)).abs().mean(Kind::Float)
    });
    Tensor::stack(&parts.collect::<Vec<_>>(), 0).sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_shift_of_all_pixels_counts_at_every_scale_and_a_chequerboard_only_at_the_finest() {
        let grey = Tensor::full([1, 3, 8, 8], 0.5, (Kind::Float, Device::Cpu));
        let sign = Tensor::from_slice(&[1.0f32, -1.0, -1.0, 1.0]).reshape([1, 1, 2, 2]).repeat([1, 3, 4, 4]);
        let value = |x: Tensor| distance(&x, &grey).double_value(&[]);
        assert!(value(grey.shallow_clone()).abs() < 1e-9);
        assert!((value(&grey + 0.3) - 0.3).abs() < 1e-6);
        assert!((value(&grey + sign * 0.3) - 0.1).abs() < 1e-6);
    }
}
