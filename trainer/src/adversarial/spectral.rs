//! Spectral normalisation (Miyato et al. 2018): weights divided by their largest singular value.

use tch::{Kind, Tensor};

use crate::store::{Init, Store};

/// The largest singular value of one weight, followed by power iteration as the weight changes.
#[derive(Debug)]
pub struct Spectral {
    /// Estimate of the left singular vector, of length 1: a buffer.
    left: Tensor,
}

fn unit(x: &Tensor) -> Tensor {
    x / (x.norm() + 1e-12)
}

impl Spectral {
    /// For the weight `name.weight` with `outputs` rows.
    pub fn new(store: &mut Store, name: &str, outputs: usize) -> Self {
        let mut left = store.buffer(&format!("{name}.left"), &[outputs], Init::Normal(1.0));
        tch::no_grad(|| left.copy_(&unit(&left)));
        Self { left }
    }

    /// `weight`, seen as a matrix with its first axis as rows, divided by its largest singular value. With
    /// `learn` the estimate takes one step of power iteration first. Gradients flow through both the weight
    /// and its singular value, the singular vectors are taken as constants.
    pub fn normalise(&self, weight: &Tensor, learn: bool) -> Tensor {
        let matrix = weight.reshape([weight.size()[0], -1]);
        let (left, right) = tch::no_grad(|| {
            let right = unit(&matrix.tr().mv(&self.left));
            if learn {
                self.left.shallow_clone().copy_(&unit(&matrix.mv(&right)));
            }
            (self.left.copy(), right)
        });
        weight / matrix.mv(&right).dot(&left)
    }

    /// The present estimate of the largest singular value.
    #[must_use]
    pub fn value(&self, weight: &Tensor) -> f64 {
        tch::no_grad(|| {
            let matrix = weight.reshape([weight.size()[0], -1]);
            let right = unit(&matrix.tr().mv(&self.left));
            matrix.mv(&right).dot(&self.left).to_kind(Kind::Double).double_value(&[])
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn largest(matrix: &Tensor) -> f64 {
        matrix.matmul(&matrix.tr()).linalg_eigvalsh("L").max().double_value(&[]).sqrt()
    }

    #[test]
    fn power_iteration_finds_the_largest_singular_value() {
        let mut store = Store::new(7, Device::Cpu);
        let weight = store.parameter("w.weight", &[12, 5, 3, 3], Init::Normal(0.3));
        let bound = Spectral::new(&mut store, "w", 12);
        for _ in 0..200 {
            let _ = bound.normalise(&weight, true);
        }
        let expected = largest(&weight.detach().reshape([12, -1]));
        assert!((bound.value(&weight) - expected).abs() < 1e-4 * expected);
        let normalised = bound.normalise(&weight, false).detach().reshape([12, -1]);
        assert!((largest(&normalised) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn judging_leaves_the_estimate_alone_and_learning_moves_it() {
        let mut store = Store::new(7, Device::Cpu);
        let weight = store.parameter("w.weight", &[6, 4], Init::Normal(0.3));
        let bound = Spectral::new(&mut store, "w", 6);
        let before = bound.left.copy();
        assert!((before.norm().double_value(&[]) - 1.0).abs() < 1e-6);
        let _ = bound.normalise(&weight, false);
        assert!(bound.left.equal(&before));
        let _ = bound.normalise(&weight, true);
        assert!(!bound.left.equal(&before));
    }

    #[test]
    fn the_scale_of_a_weight_gets_no_gradient() {
        let mut store = Store::new(7, Device::Cpu);
        let weight = store.parameter("w.weight", &[6, 4], Init::Normal(0.3));
        let bound = Spectral::new(&mut store, "w", 6);
        let target = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([6, 4]);
        (bound.normalise(&weight, true) * target).sum(Kind::Float).backward();
        let along = (weight.grad() * weight.detach()).sum(Kind::Float).double_value(&[]);
        let size = weight.grad().norm().double_value(&[]);
        assert!(size > 1.0 && along.abs() < 1e-4 * size, "{along} of {size}");
    }
}
