//! How well classes can be told from features by a linear classifier: always trained in the same way, so that
//! features can be compared.

use tch::{Device, Kind, Tensor};

use crate::random;

/// Passes over the training features.
const EPOCHS: usize = 60;
/// Features in a step.
const BATCH: i64 = 2000;
/// Learning rate of Adam, which falls linearly to 0.
const RATE: f64 = 0.02;
/// Pull of the weights towards zero.
const DECAY: f64 = 1e-5;

/// Features and their classes.
pub struct Labelled {
    /// f32 `[n, d]`.
    pub features: Tensor,
    /// i64 `[n]`.
    pub labels: Tensor,
}

/// The part of `test` that softmax regression on `train` tells the class of, `classes` of them. Features are
/// brought to mean 0 and deviation 1 first.
#[must_use]
pub fn probe(train: &Labelled, test: &Labelled, classes: i64) -> f64 {
    tch::no_grad(|| {
        let mean = train.features.mean_dim([0i64].as_slice(), true, Kind::Float);
        let deviation = train.features.std_dim([0i64].as_slice(), false, true) + 1e-6;
        let ready = |x: &Tensor| {
            let ones = Tensor::ones([x.size()[0], 1], (Kind::Float, Device::Cpu));
            Tensor::cat(&[(x - &mean) / &deviation, ones], 1)
        };
        let weights = softmax_regression(&ready(&train.features), &train.labels, classes);
        let taken = ready(&test.features).matmul(&weights).argmax(1, false);
        taken.eq_tensor(&test.labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    })
}

/// Weights `[d, classes]`, by Adam without libtorch's gradients: the gradient of the loss is known.
fn softmax_regression(features: &Tensor, labels: &Tensor, classes: i64) -> Tensor {
    let (n, d) = features.size2().unwrap_or((0, 0));
    let like = (Kind::Float, Device::Cpu);
    let mut weights = Tensor::zeros([d, classes], like);
    let (mut first, mut second) = (weights.zeros_like(), weights.zeros_like());
    let truth = labels.one_hot(classes).to_kind(Kind::Float);
    let mut step = 0;
    for epoch in 0..EPOCHS {
        let mut rng = random::generator(&[random::ORDER, epoch as u64]);
        let order: Vec<i64> =
            random::permutation(&mut rng, n as usize).into_iter().map(|i| i as i64).collect();
        let rate = RATE * (1.0 - epoch as f64 / EPOCHS as f64);
        for chosen in Tensor::from_slice(&order).split(BATCH, 0) {
            let x = features.index_select(0, &chosen);
            let wrong = x.matmul(&weights).softmax(1, Kind::Float) - truth.index_select(0, &chosen);
            let gradient = x.tr().matmul(&wrong) / x.size()[0] as f64 + &weights * DECAY;
            step += 1;
            first = first * 0.9 + &gradient * 0.1;
            second = second * 0.99 + gradient.square() * 0.01;
            let (fix1, fix2) = (1.0 - 0.9f64.powi(step), 1.0 - 0.99f64.powi(step));
            weights -= (&first * (rate / fix1)) / ((&second / fix2).sqrt() + 1e-8);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_a_plane_parts_are_told_and_those_of_noise_are_not() {
        let mut rng = random::generator(&[1]);
        let values: Vec<f32> = random::normals(&mut rng, 4000).map(|x| x as f32).collect();
        let features = Tensor::from_slice(&values).reshape([1000, 4]);
        let parted = (features.select(1, 0) + features.select(1, 2)).gt(0.3).to_kind(Kind::Int64);
        let chance = features.select(1, 3).sin().gt(0.0).to_kind(Kind::Int64);
        let of = |labels: &Tensor, inputs: &Tensor| {
            let part = |start| Labelled {
                features: inputs.narrow(0, start, 500),
                labels: labels.narrow(0, start, 500),
            };
            probe(&part(0), &part(500), 2)
        };
        let told = of(&parted, &features);
        assert!(told > 0.9, "{told}");
        let blind = of(&chance, &features.narrow(1, 0, 3));
        assert!((0.4..0.6).contains(&blind), "{blind}");
    }
}
