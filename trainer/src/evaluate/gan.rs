//! How near the pictures of a class-conditional generator come to Fashion-MNIST's: as sets, by features that
//! need no training and by those of a classifier that is trained here, and one by one.
//!
//! Beside every figure stand that of as many train images, which nobody who draws at random could better and
//! which the classifier has not seen, and that of a normal distribution for each class in the space of 100
//! principal components.

use std::path::Path;

use anyhow::{Context, ensure};
use atelier_package::{Package, Tensor as Plain};
use tch::{Device, Kind, Tensor};

use super::autoencoder::Principal;
use super::classifier::{Classifier, agreement};
use super::frechet::Moments;
use super::hog::hog;
use super::manifold::{mean_percentile, nearest, precision_recall};
use super::report::{Bound, Figure, Report};
use super::{Settings, session, torch};
use crate::data::fashion::{CLASSES, Fashion};
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use crate::random;

/// Every seed makes a set of samples of its own.
const SEEDS: [u64; 3] = [2_001, 2_002, 2_003];
/// Samples of a set, as many as there are test images.
const SAMPLES: usize = 10_000;
/// Samples that the classifier of `classifier_of_generated` learns from.
const LESSONS: usize = 60_000;
/// Samples whose nearest train images are looked for.
const LOOKED_UP: i64 = 2_000;
/// Pictures in a batch.
const BATCH: usize = 250;
/// Components in which the classes of the baseline are normally distributed.
const COMPONENTS: i64 = 100;

/// Pictures f32 `[n, 1, 28, 28]` in [0, 1] and the classes i64 `[n]` that they are of, or are meant to be of.
pub(crate) struct Pictures {
    pub(crate) images: Tensor,
    pub(crate) classes: Tensor,
}

/// `count` classes, every one as often as any other.
fn classes_in_turn(count: usize) -> Tensor {
    Tensor::arange(count as i64, (Kind::Int64, Device::Cpu)).remainder(CLASSES as i64)
}

/// Draws from a package's generator, on ONNX Runtime.
pub(crate) struct Sampler {
    graph: GraphSession,
    latent: usize,
}

impl Sampler {
    /// Over a generator that takes `z` and one of Fashion-MNIST's classes, and nothing else.
    pub(crate) fn new(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Self> {
        let spec = package.manifest().graph("generator").context("there is no graph generator")?;
        let names: Vec<&str> = spec.inputs.iter().map(|s| s.name.as_str()).collect();
        ensure!(
            names == ["z", "class"],
            "{}: the generator takes {}; only one that takes z and class can be evaluated",
            package.name(),
            names.join(", ")
        );
        let latent = match spec.inputs[0].shape.last() {
            Some(atelier_package::Dim::Fixed(n)) => *n,
            _ => anyhow::bail!("graph.generator.inputs.z has no fixed width"),
        };
        let classes = package.manifest().labels.as_ref().map_or(0, |labels| labels.names.len());
        ensure!(classes == CLASSES, "{}: {classes} classes, Fashion-MNIST has {CLASSES}", package.name());
        Ok(Self { graph: session(package, runtime, "generator")?, latent })
    }

    /// `count` pictures, the classes in turn.
    pub(crate) fn sample(&mut self, seed: u64, count: usize) -> anyhow::Result<Pictures> {
        let mut rng = random::generator(&[seed]);
        let classes = classes_in_turn(count);
        let mut images = Vec::new();
        for chunk in classes.split(BATCH as i64, 0) {
            let rows = chunk.size()[0] as usize;
            let z = random::normals(&mut rng, rows * self.latent).map(|x| x as f32).collect();
            let ids = Vec::<i64>::try_from(&chunk)?;
            let inputs = [Plain::f32(vec![rows, self.latent], z)?, Plain::i64(vec![rows], ids)?];
            let outputs = self.graph.run(&inputs)?;
            let image = torch(outputs.first().context("generator gives nothing")?)?;
            ensure!(
                image.size()[1..] == [1, 28, 28],
                "generator gives pictures of {:?}, those of Fashion-MNIST are [1, 28, 28]",
                &image.size()[1..]
            );
            images.push(image);
        }
        Ok(Pictures { images: Tensor::cat(&images, 0), classes })
    }
}

/// Draws from a normal distribution for each class, with that class's mean and covariance in the first `components`
/// principal components of all images; `count` pictures, the classes in turn.
pub fn class_gaussian(images: &Tensor, classes: &Tensor, components: i64, count: usize) -> Tensor {
    let principal = Principal::fit(images, components);
    let codes = principal.code(images).to_kind(Kind::Double);
    let wanted = classes_in_turn(count);
    let mut rng = random::generator(&[SEEDS[0], components as u64]);
    let drawn = Tensor::zeros([count as i64, components], (Kind::Double, Device::Cpu));
    for class in 0..CLASSES as i64 {
        let own = codes.index_select(0, &classes.eq(class).nonzero().flatten(0, -1));
        let mean = own.mean_dim([0i64].as_slice(), false, Kind::Double);
        let centred = &own - &mean;
        let (values, vectors) = (centred.tr().matmul(&centred) / (own.size()[0] - 1) as f64).linalg_eigh("L");
        let root = vectors * values.clamp_min(0.0).sqrt();
        let places = wanted.eq(class).nonzero().flatten(0, -1);
        let n = places.size()[0];
        let noise: Vec<f64> = random::normals(&mut rng, (n * components) as usize).collect();
        let noise = Tensor::from_slice(&noise).reshape([n, components]);
        let _ = drawn.shallow_clone().index_copy_(0, &places, &(mean + noise.matmul(&root.tr())));
    }
    principal.picture(&drawn.to_kind(Kind::Float), &images.size()[1..])
}

/// What one set of pictures came to.
struct Findings {
    hog: f64,
    classifier: f64,
    precision: f64,
    recall: f64,
    variation: f64,
    agreement: f64,
    percentile: f64,
}

/// What all sets are held against.
struct Judge {
    classifier: Classifier,
    shape: Moments,
    test: Moments,
    test_features: Tensor,
    train: Tensor,
    test_nearest: Tensor,
}

fn flat(images: &Tensor) -> Tensor {
    images.narrow(0, 0, LOOKED_UP.min(images.size()[0])).flatten(1, -1)
}

impl Judge {
    fn new(classifier: Classifier, train: &Tensor, test: &Tensor) -> Self {
        let train = train.flatten(1, -1);
        let (features, _) = classifier.judge(test);
        Self {
            shape: Moments::of(&hog(test)),
            test: Moments::of(&features),
            test_features: features,
            test_nearest: nearest(&flat(test), &train),
            train,
            classifier,
        }
    }

    fn look(&self, pictures: &Pictures) -> Findings {
        let (features, classes) = self.classifier.judge(&pictures.images);
        let (precision, recall) = precision_recall(&self.test_features, &features);
        let share =
            classes.bincount::<Tensor>(None, CLASSES as i64).to_kind(Kind::Double) / classes.size()[0] as f64;
        let off = (share - 1.0 / CLASSES as f64).abs().sum(Kind::Double).double_value(&[]);
        let near = nearest(&flat(&pictures.images), &self.train);
        Findings {
            hog: Moments::of(&hog(&pictures.images)).distance(&self.shape),
            classifier: Moments::of(&features).distance(&self.test),
            precision,
            recall,
            variation: 0.5 * off,
            agreement: agreement(&classes, &pictures.classes),
            percentile: mean_percentile(&near, &self.test_nearest),
        }
    }
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let mut sampler = Sampler::new(package, runtime)?;
    let train = Fashion::read(data, "train")?;
    let test = Fashion::read(data, "t10k")?;
    let images = train.range(0, train.len(), Device::Cpu);
    let test_images = test.range(0, test.len(), Device::Cpu);
    let count = settings.limit.unwrap_or(SAMPLES).max(CLASSES);

    // What stands beside the generated pictures is as new to the judge as they are.
    let order = random::permutation(&mut random::generator(&[SEEDS[0]]), train.len() as usize);
    let (beside, learned_from) = order.split_at(count.min(order.len() / 2));
    let lessons = train.labelled(learned_from, Device::Cpu);
    let classifier = Classifier::train(&lessons.0, &lessons.1);
    let on_test = classifier.accuracy(&test_images, &test.labels);
    let judge = Judge::new(classifier, &lessons.0, &test_images);
    let (floor, classes) = train.labelled(beside, Device::Cpu);
    let floor = judge.look(&Pictures { images: floor, classes });
    let gaussian = class_gaussian(&images, &train.labels, COMPONENTS, count);
    let gaussian = judge.look(&Pictures { images: gaussian, classes: classes_in_turn(count) });
    let sets = SEEDS
        .iter()
        .map(|&seed| Ok(judge.look(&sampler.sample(seed, count)?)))
        .collect::<anyhow::Result<Vec<Findings>>>()?;

    let lessons = sampler.sample(SEEDS[0], settings.limit.map_or(LESSONS, |n| LESSONS.min(n * 6)))?;
    let pupil = Classifier::train(&lessons.images, &lessons.classes);
    let learned = pupil.accuracy(&test_images, &test.labels);

    let figure = |name: &str, of: fn(&Findings) -> f64| {
        let mean = sets.iter().map(of).sum::<f64>() / sets.len() as f64;
        Figure::new(name, mean).beside(&[("train_images", of(&floor)), ("class_gaussian", of(&gaussian))])
    };
    let worst = sets.iter().map(|s| s.hog).fold(f64::NEG_INFINITY, f64::max);
    let hog_levels = (Bound::AtMost(4.0), Bound::AtMost(1.0));
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Fashion-MNIST test, {} images, against {count} generated with each of the seeds {SEEDS:?}: means",
            test.len()
        ),
        figures: vec![
            figure("hog_fid", |f| f.hog).levels(hog_levels.0, hog_levels.1),
            Figure::new("hog_fid_worst_seed", worst).levels(hog_levels.0, hog_levels.1),
            figure("classifier_fid", |f| f.classifier),
            figure("precision", |f| f.precision),
            figure("recall", |f| f.recall).levels(Bound::AtLeast(0.4), Bound::AtLeast(0.7)),
            figure("class_variation", |f| f.variation).levels(Bound::AtMost(0.10), Bound::AtMost(0.03)),
            figure("class_agreement", |f| f.agreement),
            Figure::new("classifier_of_generated", learned).beside(&[("train_images", on_test)]),
            figure("nearest_train_percentile", |f| f.percentile),
        ],
        notes: vec![
            "hog_fid: Frechet distance of histograms of oriented gradients (441 numbers), no training in it"
                .into(),
            format!(
                "classifier: trained in this evaluation on the {} images of the train file that are not train_images; {on_test:.4} of the test images right",
                learned_from.len()
            ),
            "precision, recall: Kynkaanniemi et al. 2019, k = 3, in the classifier's features".into(),
            "class_variation: total variation between the classes found and equal shares; class_agreement: found as asked for".into(),
            "classifier_of_generated: test accuracy of the same classifier, taught by generated pictures alone".into(),
            "nearest_train_percentile: distance to the nearest image that the classifier learned from among those of test images; 50: alike, 0: copies".into(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_has_the_means_and_spreads_of_its_classes() {
        // Two pixels; class c is around c / 10 and spreads by c / 200 in the first pixel alone.
        let n = 4_000;
        let classes = classes_in_turn(n);
        let level = classes.to_kind(Kind::Float) / 10.0;
        let mut rng = random::generator(&[5]);
        let noise: Vec<f32> = random::normals(&mut rng, n).map(|x| x as f32).collect();
        let first = &level + Tensor::from_slice(&noise) * &level / 20.0;
        let images = Tensor::stack(&[first, level], 1).reshape([n as i64, 1, 1, 2]);
        let drawn = class_gaussian(&images, &classes, 2, 10_000);
        let wanted = classes_in_turn(10_000);
        for class in [2i64, 7] {
            let own = drawn.index_select(0, &wanted.eq(class).nonzero().flatten(0, -1)).flatten(1, -1);
            let (first, second) = (own.select(1, 0), own.select(1, 1));
            let level = class as f64 / 10.0;
            assert!((first.mean(Kind::Double).double_value(&[]) - level).abs() < 0.01);
            assert!((first.std(true).double_value(&[]) - level / 20.0).abs() < 0.002);
            assert!((&second - level).abs().max().double_value(&[]) < 0.01);
        }
    }
}
