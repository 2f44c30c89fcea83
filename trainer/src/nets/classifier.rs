//! A classifier on a trained autoencoder: a copy of its encoder, tuned further, and a linear layer.

use atelier_package::{Dim, Dtype, TensorSpec};

use super::autoencoder::{Autoencoder, AutoencoderConfig};
use super::image_encoder::ImageEncoder;
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// What the names of the tuned encoder's parameters begin with; the rest is as in the autoencoder.
pub const TUNED: &str = "tuned.";

/// An autoencoder as it was trained, and a classifier beside it.
pub struct Classifier {
    size: usize,
    autoencoder: Autoencoder,
    tuned: ImageEncoder,
    head: Linear,
}

impl Classifier {
    /// With fresh parameters in `store`, for `classes` classes.
    pub fn new(store: &mut Store, config: &AutoencoderConfig, classes: usize) -> Self {
        Self {
            size: config.encoder.size,
            autoencoder: Autoencoder::new(store, config),
            tuned: ImageEncoder::new(store, &format!("{TUNED}encoder."), &config.encoder),
            head: Linear::new(store, &format!("{TUNED}head"), config.encoder.features(), classes),
        }
    }

    /// `image` `[batch, 1, size, size]` in [0, 1] to logits of the classes, `[batch, classes]`.
    pub fn classify<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let encoded = self.tuned.forward(ops, image);
        let features = self.tuned.features(ops, &encoded);
        ops.linear(&features, &self.head)
    }

    /// The mean of the logits of an image and of its mirror image.
    pub fn classify_both_ways<O: Ops>(&self, ops: &mut O, image: &O::Tensor) -> O::Tensor {
        let one = self.classify(ops, image);
        let turned = ops.mirror(image);
        let other = self.classify(ops, &turned);
        let sum = ops.add(&one, &other);
        ops.affine(&sum, 0.5, 0.0)
    }
}

impl Graphs for Classifier {
    /// The autoencoder's, and `classifier`, which looks at an image and at its mirror image.
    fn plans(&self) -> Vec<GraphPlan> {
        let shape = [Dim::from(Dim::BATCH), Dim::Fixed(1), Dim::Fixed(self.size), Dim::Fixed(self.size)];
        let mut plans = Graphs::plans(&self.autoencoder);
        plans.push(GraphPlan {
            name: "classifier",
            inputs: vec![TensorSpec::new("image", Dtype::F32, shape).with_range(0.0, 1.0)],
            outputs: vec![("logits", None)],
            state: Vec::new(),
        });
        plans
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        match graph {
            "classifier" => vec![self.classify_both_ways(ops, &inputs[0])],
            other => self.autoencoder.run(other, ops, inputs),
        }
    }
}
