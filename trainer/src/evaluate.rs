//! Evaluation: the exported graphs, on ONNX Runtime, on data that training never saw, beside baselines that
//! the same code computes.

pub mod adaptive_codec;
pub mod ager;
pub mod autoencoder;
pub mod char_rnn;
pub mod classifier;
pub mod clusters;
pub mod denoise;
pub mod face_sampler;
pub mod faces;
pub mod features;
pub mod fills;
pub mod frechet;
pub mod gan;
pub mod hog;
pub mod inpaint;
pub mod kneser_ney;
pub mod manifold;
pub mod overlap;
pub mod probe;
pub mod referee;
pub mod report;
pub mod segmentation;
pub mod ssim;
pub mod telemetry;
pub mod vae;
pub mod wavenet;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use atelier_package::{Kind, Package, Tensor as Plain};
use tch::Tensor;

use crate::onnx;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use crate::ops::eager::to_vec;
use report::Report;

/// What may be asked of an evaluation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Importance samples an image for the likelihood bound of a variational autoencoder.
    pub importance_samples: usize,
    /// At most this many samples of the test split; all where it is `None`.
    pub limit: Option<usize>,
    /// Where the judges of face models lie; `judges` beside `models` where it is `None`.
    pub judges: Option<PathBuf>,
}

/// Evaluates a package on the data under `data`.
///
/// # Errors
/// Data that is missing or malformed, graphs that fail, or a kind that has no evaluation.
pub fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let mut report = match package.manifest().kind {
        Kind::Autoencoder => autoencoder::evaluate(package, data, runtime, settings),
        Kind::DenoisingAutoencoder => denoise::evaluate(package, data, runtime, settings),
        Kind::Inpainter => inpaint::evaluate(package, data, runtime, settings),
        Kind::VariationalAutoencoder => vae::evaluate(package, data, runtime, settings),
        Kind::Gan if face_sampler::fits(package) => face_sampler::evaluate(package, data, runtime, settings),
        Kind::Gan => gan::evaluate(package, data, runtime, settings),
        Kind::Ager => ager::evaluate(package, data, runtime, settings),
        Kind::CharRnn => char_rnn::evaluate(package, data, runtime, settings),
        Kind::Segmentation => segmentation::evaluate(package, data, runtime, settings),
        Kind::Wavenet => wavenet::evaluate(package, data, runtime, settings),
        Kind::Anomaly => telemetry::evaluate(package, data, runtime, settings),
        other => bail!("{}: there is no evaluation for packages of kind {other}", package.name()),
    }?;
    report.notes.push(origin(package)?);
    Ok(report)
}

/// How large the graphs of a package are, and the seed of its run.
fn origin(package: &Package) -> anyhow::Result<String> {
    let mut sizes = Vec::new();
    for graph in &package.manifest().graphs {
        let count = onnx::parameters(&package.graph_bytes(&graph.name)?)
            .with_context(|| format!("graph {}", graph.name))?;
        sizes.push(format!("{} {count}", graph.name));
    }
    let training = package.manifest().training.as_ref();
    let seed = training.map(|training| format!("; one run, seed {}", training.seed));
    Ok(format!("parameters of each graph: {}{}", sizes.join(", "), seed.unwrap_or_default()))
}

/// A session over one of the package's graphs.
pub(crate) fn session(package: &Package, runtime: &OnnxRuntime, graph: &str) -> anyhow::Result<GraphSession> {
    let spec = package.manifest().graph(graph).with_context(|| format!("there is no graph {graph}"))?;
    runtime.graph(&package.graph_bytes(graph)?, &spec.inputs, &spec.outputs)
}

pub(crate) fn plain(x: &Tensor) -> anyhow::Result<Plain> {
    let shape: Vec<usize> = x.size().iter().map(|&n| n as usize).collect();
    Ok(Plain::f32(shape, to_vec(x))?)
}

pub(crate) fn torch(x: &Plain) -> anyhow::Result<Tensor> {
    let shape: Vec<i64> = x.shape().iter().map(|&n| n as i64).collect();
    Ok(Tensor::from_slice(x.as_f32().context("not f32")?).reshape(shape))
}
