//! Denoising Fashion-MNIST: noise of four levels on the 10,000 test images, not limited to [0, 1]; results
//! limited to [0, 1].

use std::path::Path;

use anyhow::Context;
use atelier_package::{Package, Tensor as Plain};
use tch::{Device, Kind, Tensor};

use super::report::{Bound, Figure, Report};
use super::ssim::{psnr, ssim};
use super::{Settings, plain, session, torch};
use crate::data::fashion::Fashion;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};

/// A level of noise and what block-matching and 3D filtering (BM3D, Dabov et al. 2007) reaches there.
struct Level {
    name: &'static str,
    sigma: f64,
    bm3d_psnr: f64,
    bm3d_ssim: f64,
}

/// The BM3D figures were computed once, with PyPI's `bm3d`, on 300 of the test images.
const LEVELS: [Level; 4] = [
    Level { name: "25", sigma: 25.0 / 255.0, bm3d_psnr: 26.10, bm3d_ssim: 0.856 },
    Level { name: "50", sigma: 50.0 / 255.0, bm3d_psnr: 21.62, bm3d_ssim: 0.745 },
    Level { name: "0_3", sigma: 0.3, bm3d_psnr: 19.26, bm3d_ssim: 0.658 },
    Level { name: "0_5", sigma: 0.5, bm3d_psnr: 16.69, bm3d_ssim: 0.515 },
];

/// The best linear filter: the one that minimises the mean square error, given the train images' mean and
/// covariance (Wiener).
pub struct LinearFilter {
    mean: Tensor,
    values: Tensor,
    vectors: Tensor,
}

impl LinearFilter {
    /// Learns mean and covariance from `[n, 1, h, w]`.
    #[must_use]
    pub fn fit(images: &Tensor) -> Self {
        let flat = images.reshape([images.size()[0], -1]);
        let mean = flat.mean_dim([0i64].as_slice(), false, Kind::Float);
        let centred = &flat - &mean;
        let covariance = centred.tr().matmul(&centred).to_kind(Kind::Double) / flat.size()[0] as f64;
        let (values, vectors) = covariance.linalg_eigh("L");
        Self { mean, values, vectors }
    }

    /// Denoises `[n, 1, h, w]` with noise of the given standard deviation.
    pub fn apply(&self, noisy: &Tensor, sigma: f64) -> Tensor {
        let gain = &self.values / (&self.values + sigma * sigma);
        let filter = (&self.vectors * gain).matmul(&self.vectors.tr()).to_kind(Kind::Float);
        let flat = noisy.reshape([noisy.size()[0], -1]);
        ((flat - &self.mean).matmul(&filter) + &self.mean).reshape(noisy.size()).clamp(0.0, 1.0)
    }
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let filter = {
        let train = Fashion::read(data, "train")?;
        LinearFilter::fit(&train.range(0, train.len(), Device::Cpu))
    };
    let test = Fashion::read(data, "t10k")?;
    let count = settings.limit.map_or(test.len(), |n| (n as i64).min(test.len()));
    let clean = test.range(0, count, Device::Cpu);
    let mut told = session(package, runtime, "denoiser")?;
    let mut blind = session(package, runtime, "blind")?;
    let mut figures = (Vec::new(), Vec::new(), Vec::new());
    for (i, level) in LEVELS.iter().enumerate() {
        tch::manual_seed(1000 + i as i64);
        let noisy = &clean + clean.randn_like() * level.sigma;
        let ours = run(&mut told, &noisy, Some(level.sigma))?;
        let untold = run(&mut blind, &noisy, None)?;
        let linear = filter.apply(&noisy, level.sigma);
        let limited = noisy.clamp(0.0, 1.0);
        let lmmse = psnr(&linear, &clean);
        let best = lmmse.max(level.bm3d_psnr);
        let baselines = [("noisy", psnr(&limited, &clean)), ("bm3d", level.bm3d_psnr), ("lmmse", lmmse)];
        let levels = |figure: Figure| figure.levels(Bound::AtLeast(best + 1.5), Bound::AtLeast(best + 3.5));
        let name = |kind: &str| format!("{kind}_{}", level.name);
        figures.0.push(levels(Figure::new(name("psnr_db"), psnr(&ours, &clean)).beside(&baselines)));
        figures.1.push(levels(Figure::new(name("psnr_db_blind"), psnr(&untold, &clean))));
        figures.2.push(Figure::new(name("ssim"), ssim(&ours, &clean)).beside(&[
            ("noisy", ssim(&limited, &clean)),
            ("bm3d", level.bm3d_ssim),
            ("lmmse", ssim(&linear, &clean)),
        ]));
    }
    let (mut all, blind, similarity) = figures;
    all.extend(blind);
    all.extend(similarity);
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Fashion-MNIST test, {count} images, Gaussian noise not limited to [0, 1], mean of each image's PSNR"
        ),
        figures: all,
        notes: vec![
            "bm3d was measured once on 300 of the images; noisy and lmmse (fitted on train) in this run"
                .into(),
        ],
    })
}

fn run(graph: &mut GraphSession, noisy: &Tensor, sigma: Option<f64>) -> anyhow::Result<Tensor> {
    let mut parts = Vec::new();
    for chunk in noisy.split(250, 0) {
        let rows = chunk.size()[0] as usize;
        let mut inputs = vec![plain(&chunk)?];
        if let Some(sigma) = sigma {
            inputs.push(Plain::f32([rows], vec![sigma as f32; rows])?);
        }
        let outputs = graph.run(&inputs)?;
        parts.push(torch(outputs.first().context("the graph gives nothing")?)?);
    }
    Ok(Tensor::cat(&parts, 0))
}
