//! What an autoencoder's encoder has learned of what it sees: how well its features tell classes, how far its
//! codes fall into clusters that are classes, and how well a classifier made of it does.

use anyhow::{Context, ensure};
use atelier_package::Package;
use atelier_transforms::clusters::spectral;
use tch::{Device, Kind, Tensor};

use super::autoencoder::Principal;
use super::clusters::{Agreement, Whitening, agreement, k_means, nearest};
use super::probe::{Labelled, probe};
use super::report::{Bound, Figure};
use super::{plain, session, torch};
use crate::data::fashion::{CLASSES, Fashion};
use crate::onnx_runtime::OnnxRuntime;

/// Images and their classes.
pub(super) struct Split {
    /// f32 `[n, 1, h, w]` in [0, 1].
    pub(super) images: Tensor,
    /// i64 `[n]`.
    pub(super) labels: Tensor,
}

impl Split {
    /// The first `count` of a half of the data.
    pub(super) fn new(data: &Fashion, count: i64) -> Self {
        Self { images: data.range(0, count, Device::Cpu), labels: data.labels.narrow(0, 0, count) }
    }

    fn classes(&self) -> anyhow::Result<Vec<usize>> {
        Ok(Vec::<i64>::try_from(&self.labels)?.into_iter().map(|class| class as usize).collect())
    }
}

/// What one graph gives for images, `[n, …]`.
fn outputs(package: &Package, runtime: &OnnxRuntime, graph: &str, images: &Tensor) -> anyhow::Result<Tensor> {
    let mut session = session(package, runtime, graph)?;
    let mut parts = Vec::new();
    for chunk in images.split(250, 0) {
        let outputs = session.run(&[plain(&chunk)?])?;
        parts.push(torch(outputs.first().with_context(|| format!("{graph} gives nothing"))?)?);
    }
    Ok(Tensor::cat(&parts, 0))
}

/// The figures of the graphs that a package has beside `encoder` and `decoder`, and of its codes' clusters.
pub(super) fn figures(
    package: &Package,
    runtime: &OnnxRuntime,
    train: &Split,
    test: &Split,
) -> anyhow::Result<Vec<Figure>> {
    let pixels = |split: &Split| split.images.reshape([split.images.size()[0], -1]);
    let principal = Principal::fit(&train.images, 64);
    let projected = |split: &Split| principal.code(&split.images);
    let told = |graph: &dyn Fn(&Split) -> Tensor| {
        let part = |split: &Split| Labelled { features: graph(split), labels: split.labels.shallow_clone() };
        probe(&part(train), &part(test), CLASSES as i64)
    };
    let mut figures = Vec::new();
    if package.manifest().graph("classifier").is_some() {
        figures.extend(classifier(package, runtime, test)?);
    }
    let both = |graph: &str| -> anyhow::Result<[Tensor; 2]> {
        let of = |split: &Split| outputs(package, runtime, graph, &split.images);
        Ok([of(train)?, of(test)?])
    };
    let codes = both("encoder")?;
    let features = both("features")?;
    let [of_train, of_test] = features.each_ref().map(Tensor::shallow_clone);
    let labelled =
        |features: Tensor, split: &Split| Labelled { features, labels: split.labels.shallow_clone() };
    let ours = probe(&labelled(of_train, train), &labelled(of_test, test), CLASSES as i64);
    figures.push(
        Figure::new("probe_accuracy", ours)
            .beside(&[("raw_pixels", told(&pixels)), ("principal_components", told(&projected))])
            .levels(Bound::AtLeast(0.845), Bound::AtLeast(0.90)),
    );
    let white = |[of_train, of_test]: [&Tensor; 2]| {
        let whitening = Whitening::fit(of_train, of_train.size()[1].min(COMPONENTS));
        by_centres(&whitening.apply(of_train), &whitening.apply(of_test), test)
    };
    let of_codes = white(codes.each_ref())?;
    let ours = white(features.each_ref().map(evened).each_ref())?;
    let linear = white([&projected(train), &projected(test)])?;
    let raw = by_centres(&pixels(train), &pixels(test), test)?;
    let beside = |of: fn(&Agreement) -> f64| {
        [("raw_pixels", of(&raw)), ("principal_components", of(&linear)), ("whitened_codes", of(&of_codes))]
    };
    figures.extend([
        Figure::new("k_means_accuracy", ours.accuracy)
            .beside(&beside(|a| a.accuracy))
            .levels(Bound::AtLeast(0.55), Bound::AtLeast(0.672)),
        Figure::new("k_means_mutual_information", ours.mutual_information)
            .beside(&beside(|a| a.mutual_information)),
    ]);
    let ours = by_neighbours(&codes[1], test)?;
    let linear = by_neighbours(&projected(test), test)?;
    figures.extend([
        Figure::new("spectral_accuracy", ours.accuracy).beside(&[("principal_components", linear.accuracy)]),
        Figure::new("spectral_mutual_information", ours.mutual_information)
            .beside(&[("principal_components", linear.mutual_information)]),
    ]);
    Ok(figures)
}

/// Principal components in which k-means looks for clusters.
const COMPONENTS: i64 = 64;

/// Features with the roots of their magnitudes in place of these, so that a few large ones do not decide alone what is
/// near (the power normalisation of Perronnin, Sánchez and Mensink 2010).
fn evened(features: &Tensor) -> Tensor {
    features.sign() * features.abs().sqrt()
}

/// The seed of clusters, which is the client's.
const SEED: u64 = 1;

/// Clusters of the test split's own points, whose classes they know nothing of: as `atelier codec cluster` finds them.
fn by_neighbours(points: &Tensor, truth: &Split) -> anyhow::Result<Agreement> {
    let width = points.size()[1] as usize;
    let values = Vec::<f32>::try_from(points.contiguous().reshape([-1]))?;
    let points: Vec<Vec<f32>> = values.chunks(width).map(<[f32]>::to_vec).collect();
    let found: Vec<usize> = spectral(&points, CLASSES, SEED).iter().map(|place| place.cluster).collect();
    Ok(agreement(&found, &truth.classes()?, CLASSES))
}

/// Clusters found among `train` by k-means, measured on `test`.
fn by_centres(train: &Tensor, test: &Tensor, truth: &Split) -> anyhow::Result<Agreement> {
    let found = nearest(test, &k_means(train, CLASSES));
    Ok(agreement(&found, &truth.classes()?, CLASSES))
}

fn classifier(package: &Package, runtime: &OnnxRuntime, test: &Split) -> anyhow::Result<Vec<Figure>> {
    let logits = outputs(package, runtime, "classifier", &test.images)?;
    ensure!(logits.size()[1] == CLASSES as i64, "classifier must give {CLASSES} logits");
    let right = |top: i64| {
        let (_, guesses) = logits.topk(top, 1, true, true);
        let hit = guesses.eq_tensor(&test.labels.unsqueeze(1)).any_dim(1, false);
        hit.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    };
    Ok(vec![
        Figure::new("accuracy", right(1))
            .beside(&[
                ("people", 0.835),
                ("two_convolutions_published", 0.916),
                ("resnet18_published", 0.949),
            ])
            .levels(Bound::AtLeast(0.915), Bound::AtLeast(0.95)),
        Figure::new("accuracy_top_3", right(3)),
        Figure::new("calibration_error", calibration(&logits, &test.labels)),
    ])
}

/// Expected calibration error (Guo et al. 2017): how far the chance that is given to the first guess is from how
/// often it is right, over 15 ranges of that chance.
fn calibration(logits: &Tensor, labels: &Tensor) -> f64 {
    const RANGES: i64 = 15;
    let (chance, guess) = logits.softmax(1, Kind::Float).max_dim(1, false);
    let right = guess.eq_tensor(labels).to_kind(Kind::Float);
    let range = (&chance * RANGES as f64).floor().clamp(0.0, (RANGES - 1) as f64).to_kind(Kind::Int64);
    let within = range.one_hot(RANGES).to_kind(Kind::Float);
    let apart =
        ((chance - right).unsqueeze(1) * within).sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
    apart.abs().sum(Kind::Double).double_value(&[]) / labels.size()[0] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_that_is_as_sure_as_it_is_right_has_no_calibration_error() {
        // Always 3 to 1 for class 0, which is right in three of four.
        let logits = Tensor::from_slice(&[3f32.ln(), 0.0].repeat(8)).reshape([8, 2]);
        let labels =
            |right: i64| Tensor::arange(8, (Kind::Int64, Device::Cpu)).ge(right).to_kind(Kind::Int64);
        assert!(calibration(&logits, &labels(6)) < 1e-6);
        assert!((calibration(&logits, &labels(2)) - 0.5).abs() < 1e-6);
    }
}
