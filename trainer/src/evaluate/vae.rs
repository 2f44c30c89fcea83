//! Likelihood bounds of a variational autoencoder on Fashion-MNIST with dynamic binarisation: each test
//! pixel is drawn once, with a fixed seed, as 0 or 1 with its grey value as the chance.

use std::path::Path;

use anyhow::Context;
use atelier_package::Package;
use tch::{Device, Kind, Tensor};

use super::report::{Bound, Figure, Report};
use super::{Settings, plain, session, torch};
use crate::data::fashion::Fashion;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};

/// A code dimension is in use when the variance over images of its mean is above this (Burda, Grosse and
/// Salakhutdinov 2016).
const ACTIVE: f64 = 0.01;

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let train = Fashion::read(data, "train")?;
    let test = Fashion::read(data, "t10k")?;
    let count = settings.limit.map_or(test.len(), |n| (n as i64).min(test.len()));
    let grey = test.range(0, count, Device::Cpu);
    tch::manual_seed(2000);
    let image = grey.bernoulli();
    let mut encoder = session(package, runtime, "encoder")?;
    let mut decoder = session(package, runtime, "decoder")?;

    let (mut mean, mut log_variance) = (Vec::new(), Vec::new());
    for chunk in image.split(500, 0) {
        let outputs = encoder.run(&[plain(&chunk)?])?;
        let [m, v] = outputs.as_slice() else { anyhow::bail!("encoder must give mean and log_variance") };
        mean.push(torch(m)?);
        log_variance.push(torch(v)?);
    }
    let (mean, log_variance) = (Tensor::cat(&mean, 0), Tensor::cat(&log_variance, 0));
    let active = mean.var_dim([0i64].as_slice(), true, false).gt(ACTIVE).sum(Kind::Int64).int64_value(&[]);
    let divergence = ((log_variance.exp() + mean.square() - 1.0 - &log_variance).sum_dim_intlist(
        [1i64].as_slice(),
        false,
        Kind::Double,
    ) * 0.5)
        .mean(Kind::Double)
        .double_value(&[]);

    let samples = settings.importance_samples.max(1);
    let (mut elbo, mut bound) = (0.0, 0.0);
    for i in 0..count {
        let at = |t: &Tensor| t.narrow(0, i, 1);
        let (m, v) = (at(&mean), at(&log_variance));
        let weights = log_weights(&mut decoder, &at(&image), &m, &v, samples)?;
        elbo -= weights.mean(Kind::Double).double_value(&[]);
        bound -= weights.logsumexp([0i64].as_slice(), false).double_value(&[]) - (samples as f64).ln();
    }
    let n = count as f64;
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Fashion-MNIST test, {count} images, dynamic binarisation (seed 2000), nats an image, {samples} samples"
        ),
        figures: vec![
            Figure::new("elbo_nats", elbo / n)
                .beside(&[("independent_pixels", independent(&train, &image))])
                .level(Bound::AtMost(235.0)),
            Figure::new(format!("iwae_{samples}_nats"), bound / n)
                .beside(&[
                    ("vae_mlp_published", 228.70),
                    ("vampprior_published", 227.35),
                    ("exemplar_vae_published", 226.75),
                ])
                .levels(Bound::AtMost(235.0), Bound::AtMost(226.75)),
            Figure::new("divergence_nats", divergence),
            Figure::new("active_units", active as f64).levels(Bound::AtLeast(15.0), Bound::AtLeast(15.0)),
        ],
        notes: vec![
            "elbo: negative evidence lower bound; iwae: the importance-weighted bound of Burda et al. 2016"
                .into(),
            "published: IWAE-5000 of gated fully connected layers, of VampPrior and of Exemplar VAE (Norouzi, Fleet and Norouzi 2020)"
                .into(),
        ],
    })
}

/// Log importance weights of `samples` codes of one image, `[samples]`:
/// `log p(x|z) + log p(z) - log q(z|x)`.
fn log_weights(
    decoder: &mut GraphSession,
    image: &Tensor,
    mean: &Tensor,
    log_variance: &Tensor,
    samples: usize,
) -> anyhow::Result<Tensor> {
    let width = mean.size()[1];
    let noise = Tensor::randn([samples as i64, width], (Kind::Float, Device::Cpu));
    let code = mean + (log_variance * 0.5).exp() * &noise;
    let outputs = decoder.run(&[plain(&code)?])?;
    let pixels = torch(outputs.first().context("decoder gives nothing")?)?.clamp(1e-7, 1.0 - 1e-7);
    let likelihood = (image * pixels.log() + (image * -1.0 + 1.0) * (pixels * -1.0 + 1.0).log())
        .reshape([samples as i64, -1])
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
    let prior_over_posterior = ((noise.square() - code.square() + log_variance) * 0.5).sum_dim_intlist(
        [1i64].as_slice(),
        false,
        Kind::Double,
    );
    Ok(likelihood + prior_over_posterior)
}

/// Nats an image when every pixel is drawn on its own, with its mean over the train images as the chance.
fn independent(train: &Fashion, image: &Tensor) -> f64 {
    let chance = train
        .range(0, train.len(), Device::Cpu)
        .mean_dim([0i64].as_slice(), true, Kind::Float)
        .clamp(1e-4, 1.0 - 1e-4);
    let nats = image * chance.log() + (image * -1.0 + 1.0) * (&chance * -1.0 + 1.0).log();
    -nats.sum(Kind::Double).double_value(&[]) / image.size()[0] as f64
}
