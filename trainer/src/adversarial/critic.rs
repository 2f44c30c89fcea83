//! What discriminators are made of.

use tch::{Kind, Tensor};

use super::spectral::Spectral;
use crate::layers::{Conv2d, Embedding, Linear};
use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::store::Store;

/// What is done with a discriminator's parameters while it scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It learns: gradients reach its parameters and singular values are followed.
    Player,
    /// It judges for a generator that learns: its parameters are constants.
    Judge,
}

fn taken(x: &Tensor, part: Part) -> Tensor {
    match part {
        Part::Player => x.shallow_clone(),
        Part::Judge => x.detach(),
    }
}

fn bounded(weight: &Tensor, bound: Option<&Spectral>, part: Part) -> Tensor {
    let weight = taken(weight, part);
    bound.map_or_else(|| weight.shallow_clone(), |b| b.normalise(&weight, part == Part::Player))
}

/// A convolution, spectrally normalised or not.
#[derive(Debug)]
pub struct CriticConv2d {
    layer: Conv2d,
    bound: Option<Spectral>,
}

impl CriticConv2d {
    /// Around a layer whose parameters are in `store`.
    pub fn new(store: &mut Store, layer: Conv2d, spectral: bool) -> Self {
        let rows = layer.weight.size()[0] as usize;
        let bound = spectral.then(|| Spectral::new(store, &layer.name, rows));
        Self { layer, bound }
    }

    /// The convolution of `x`.
    pub fn apply(&self, ops: &mut Eager, x: &Tensor, part: Part) -> Tensor {
        let weight = bounded(&self.layer.weight, self.bound.as_ref(), part);
        let layer = Conv2d {
            name: String::new(),
            weight,
            bias: taken(&self.layer.bias, part),
            stride: self.layer.stride,
            padding: self.layer.padding,
        };
        ops.conv2d(x, &layer)
    }
}

/// The last layer of a class-conditional discriminator: a score of features that is linear in them, with
/// other coefficients for each class (the projection discriminator of Miyato and Koyama 2018).
#[derive(Debug)]
pub struct Projection {
    score: Linear,
    score_bound: Option<Spectral>,
    class: Embedding,
    class_bound: Option<Spectral>,
}

impl Projection {
    /// For features of `width` numbers.
    pub fn new(store: &mut Store, name: &str, width: usize, classes: usize, spectral: bool) -> Self {
        let (score_name, class_name) = (format!("{name}.score"), format!("{name}.class"));
        let score = Linear::new(store, &score_name, width, 1);
        let class = Embedding::new(store, &class_name, classes, width);
        Self {
            score,
            score_bound: spectral.then(|| Spectral::new(store, &score_name, 1)),
            class,
            class_bound: spectral.then(|| Spectral::new(store, &class_name, classes)),
        }
    }

    /// Scores f32 `[n]` of features `[n, width]` of samples of `class`, i64 `[n]`. Calculated in f32.
    pub fn apply(&self, features: &Tensor, class: &Tensor, part: Part) -> Tensor {
        let features = features.to_kind(Kind::Float);
        let weight = bounded(&self.score.weight, self.score_bound.as_ref(), part);
        let table = bounded(&self.class.weight, self.class_bound.as_ref(), part);
        let rows = weight + table.index_select(0, class);
        (features * rows).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
            + taken(&self.score.bias, part)
    }
}

/// The leaky rectifier with slope 1/6 below 0, in one pass and with one for its gradient.
///
/// The binding's `leaky_relu` takes no slope. Its `rrelu` outside of training is a leaky rectifier, with the mean
/// of the two slopes between which it would draw: 1/3, libtorch's own, and 0, because the binding gives its
/// one argument in the place of the lower slope. A test holds it to that.
pub fn leaky(x: &Tensor) -> Tensor {
    x.rrelu(false)
}

/// `x` `[n, c, h, w]` with one more channel: how much the samples of a group differ, the same number for all of
/// them (Karras et al. 2018, section 3). Groups are of `group` samples that follow each other; it must divide
/// `n`.
pub fn with_group_deviation(x: &Tensor, group: i64) -> Tensor {
    let (n, c, h, w) = {
        let s = x.size();
        (s[0], s[1], s[2], s[3])
    };
    let grouped = x.to_kind(Kind::Float).reshape([n / group, group, c, h, w]);
    // Means by hand: libtorch's variance goes through double precision, many times slower.
    let apart = &grouped - grouped.mean_dim([1i64].as_slice(), true, Kind::Float);
    let variance = apart.square().mean_dim([1i64].as_slice(), false, Kind::Float);
    let one = (variance + 1e-8).sqrt().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
    let plane = one.reshape([n / group, 1]).repeat_interleave_self_int(group, 0, None::<i64>);
    let plane = plane.reshape([n, 1, 1, 1]).expand([n, 1, h, w], false).to_kind(x.kind());
    Tensor::cat(&[x, &plane], 1)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn image(n: i64) -> Tensor {
        Tensor::arange(n * 2 * 16, (Kind::Float, Device::Cpu)).reshape([n, 2, 4, 4]).sin()
    }

    #[test]
    fn a_judge_passes_gradients_on_and_takes_none() {
        let mut store = Store::new(1, Device::Cpu);
        let layer = Conv2d::new(&mut store, "c", 2, 3, 3, 1, 1.0);
        let conv = CriticConv2d::new(&mut store, layer, true);
        let head = Projection::new(&mut store, "head", 3, 4, true);
        let class = Tensor::from_slice(&[3i64, 0]);
        let score = |x: &Tensor, part| {
            let maps = leaky(&conv.apply(&mut Eager::exact(), x, part));
            let sums = maps.sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float);
            head.apply(&sums, &class, part).sum(Kind::Float)
        };
        let x = image(2).set_requires_grad(true);
        score(&x, Part::Judge).backward();
        assert!(x.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
        assert!(store.parameters().iter().all(|p| !p.value.grad().defined()));
        score(&x, Part::Player).backward();
        for p in store.parameters().iter().filter(|p| p.trains()) {
            assert!(p.value.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0, "{}", p.name);
        }
    }

    #[test]
    fn a_projection_scores_by_class() {
        let mut store = Store::new(1, Device::Cpu);
        let head = Projection::new(&mut store, "head", 3, 4, false);
        let features = Tensor::from_slice(&[1.0f32, -2.0, 0.5, 1.0, -2.0, 0.5]).reshape([2, 3]);
        let score = |classes: [i64; 2]| head.apply(&features, &Tensor::from_slice(&classes), Part::Judge);
        let both = score([1, 2]);
        assert!((both.double_value(&[0]) - both.double_value(&[1])).abs() > 1e-3, "{both:?}");
        assert!((both.double_value(&[0]) - score([2, 1]).double_value(&[1])).abs() < 1e-6);
    }

    #[test]
    fn a_leaky_rectifier_has_its_slope() {
        let y = leaky(&Tensor::from_slice(&[-48.0f32, 3.0]));
        assert!(
            (y.double_value(&[0]) + 8.0).abs() < 1e-4 && y.double_value(&[1]) == 3.0,
            "{y:?} {}",
            y.double_value(&[0])
        );
    }

    #[test]
    fn samples_that_are_alike_deviate_by_nothing_and_groups_do_not_mix() {
        let alike = image(1).repeat([4, 1, 1, 1]);
        let x = Tensor::cat(&[&alike, &(image(4) * 3.0)], 0);
        let deviation = with_group_deviation(&x, 4).select(1, 2);
        assert!(deviation.narrow(0, 0, 4).max().double_value(&[]) < 1e-3);
        let expected = (image(4) * 3.0).std_dim([0i64].as_slice(), false, false).mean(Kind::Float);
        let found = deviation.narrow(0, 4, 4);
        let expected = expected.double_value(&[]);
        for value in [found.max().double_value(&[]), found.min().double_value(&[])] {
            assert!((value - expected).abs() < 1e-5, "{value}, not {expected}");
        }
    }
}
