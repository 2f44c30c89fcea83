//! A small classifier of Fashion-MNIST: the referee that says what class a generated picture is of, and whose
//! features tell sets of pictures apart. It is trained anew in every evaluation, from one seed and on the train
//! file alone, so that there is no file to trust; how good it is on the test file is printed beside what it
//! says.

use tch::{Device, Kind, Reduction, Tensor};

use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::ops::eager::{Eager, Precision};
use crate::optim::{AdamW, OptimiserConfig};
use crate::random;
use crate::recipe::Order;
use crate::store::Store;

/// Passes over the images.
const EPOCHS: u64 = 4;
const BATCH: usize = 128;
/// Every random number follows from it.
const SEED: u64 = 2_000;
/// Numbers of the last layer before the classes.
const FEATURES: usize = 128;

/// A trained classifier.
pub struct Classifier {
    convolutions: [Conv2d; 4],
    features: Linear,
    classes: Linear,
}

impl Classifier {
    fn new(store: &mut Store) -> Self {
        let mut conv =
            |name: &str, inputs, outputs, stride| Conv2d::new(store, name, inputs, outputs, 3, stride, 1.0);
        Self {
            convolutions: [
                conv("half", 1, 32, 2),
                conv("half2", 32, 32, 1),
                conv("quarter", 32, 64, 2),
                conv("quarter2", 64, 64, 1),
            ],
            features: Linear::new(store, "features", 64 * 7 * 7, FEATURES),
            classes: Linear::new(store, "classes", FEATURES, 10),
        }
    }

    /// Trains one on images f32 `[n, 1, 28, 28]` in [0, 1] and their classes i64 `[n]`.
    #[must_use]
    pub fn train(images: &Tensor, classes: &Tensor) -> Self {
        let mut store = Store::new(SEED, Device::Cpu);
        let network = Self::new(&mut store);
        let config = OptimiserConfig {
            learning_rate: 2e-3,
            final_fraction: 0.01,
            warmup: 0.05,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.05,
            clip: 0.0,
            average: 0.0,
        };
        let mut optimiser = AdamW::new(&store, config.clone());
        let mut order = Order::new(SEED, images.size()[0] as usize, BATCH);
        let total = EPOCHS * order.steps_per_epoch();
        for step in 0..total {
            let at: Vec<i64> = order.batch(step).iter().map(|&i| i as i64).collect();
            let at = Tensor::from_slice(&at);
            let (mut x, y) = (images.index_select(0, &at), classes.index_select(0, &at));
            random::seed_torch(&[SEED, random::STEP, step]);
            let ops = &mut Eager::with(Precision::Bf16);
            x = network.features(ops, &x).to_kind(Kind::Float).dropout(0.3, true);
            let logits = network.logits(ops, &x).to_kind(Kind::Float);
            let loss = logits.cross_entropy_loss::<Tensor>(&y, None, Reduction::Mean, -100, 0.1);
            loss.backward();
            optimiser.update(&store, "", step, config.rate(step, total));
        }
        network
    }

    fn features(&self, ops: &mut Eager, images: &Tensor) -> Tensor {
        let mut x = ops.affine(images, 2.0, -1.0);
        for layer in &self.convolutions {
            let y = ops.conv2d(&x, layer);
            x = ops.relu(&y);
        }
        let flat = ops.reshape_rows(&x, &[64 * 7 * 7]);
        let x = ops.linear(&flat, &self.features);
        ops.relu(&x)
    }

    fn logits(&self, ops: &mut Eager, features: &Tensor) -> Tensor {
        ops.linear(features, &self.classes)
    }

    /// Features f32 `[n, 128]` and the likeliest classes i64 `[n]` of images `[n, 1, 28, 28]` in [0, 1].
    pub fn judge(&self, images: &Tensor) -> (Tensor, Tensor) {
        tch::no_grad(|| {
            let ops = &mut Eager::exact();
            let parts: Vec<Tensor> = images.split(1_000, 0).iter().map(|x| self.features(ops, x)).collect();
            let features = Tensor::cat(&parts, 0);
            let classes = self.logits(ops, &features).argmax(1, false);
            (features, classes)
        })
    }

    /// The part of `images` whose likeliest class is that in `classes`.
    pub fn accuracy(&self, images: &Tensor, classes: &Tensor) -> f64 {
        agreement(&self.judge(images).1, classes)
    }
}

/// The part of entries that are the same.
pub(super) fn agreement(a: &Tensor, b: &Tensor) -> f64 {
    a.eq_tensor(b).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}
