//! How well faces of an age are made from nothing.

use std::path::Path;

use atelier_package::Package;
use tch::{Device, Kind, Tensor};

use super::faces::baselines::{Normal, others};
use super::faces::jury::{Jury, Verdict, beside, run};
use super::frechet::Moments;
use super::hog::cells;
use super::report::{Bound, Figure, Report};
use super::{Settings, session};
use crate::data::faces::{Faces, Part};
use crate::evaluate::ager::TARGETS;
use crate::nets::age_code::AGES;
use crate::onnx_runtime::OnnxRuntime;
use crate::random;

/// Faces of each age.
const EACH: usize = 200;

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let faces = Faces::read(data)?;
    let judges = settings.judges.clone().unwrap_or_else(|| beside(package));
    let mut jury = Jury::call(&judges, &faces, runtime)?;
    let mut generator = session(package, runtime, "generator")?;
    let latent = package.manifest().graph("generator").and_then(|graph| graph.input("z")).map_or(0, |z| {
        z.shape.get(1).map_or(0, |dim| if let atelier_package::Dim::Fixed(n) = dim { *n } else { 0 })
    });
    let mut made = |ages: &Tensor, number: u64| {
        let mut rng = random::generator(&[random::VALIDATION, number]);
        let count = ages.size()[0] as usize * latent;
        let z: Vec<f32> = random::normals(&mut rng, count).map(|x| x as f32).collect();
        run(&mut generator, &[&Tensor::from_slice(&z).reshape([-1, latent as i64]), ages])
    };

    let each = settings.limit.map_or(EACH, |limit| limit.min(EACH));
    let normal = Normal::of(&faces);
    let (mut ours, mut drawn, mut photographs) = (Vec::new(), Vec::new(), Vec::new());
    for (i, target) in TARGETS.into_iter().enumerate() {
        let ages = Tensor::full([each as i64], target, (Kind::Float, Device::Cpu));
        ours.push(made(&ages, i as u64)?);
        drawn.push(normal.draw(&ages, i as u64));
        photographs.push(others(&faces, each, target));
    }
    let by_age = [&ours, &drawn, &photographs].map(|images| jury.judge(&TARGETS, images, None));
    let [by_us, by_normal, by_photographs] = by_age;
    let (by_us, by_normal, by_photographs) = (by_us?, by_normal?, by_photographs?);
    let beside = |part: fn(&Verdict) -> f64| {
        [("normal_distribution", part(&by_normal)), ("photographs", part(&by_photographs))]
    };

    // At the ages of the test faces, so that the whole sets can be compared.
    let mut test = faces.part(Part::Test);
    test.truncate(settings.limit.unwrap_or(usize::MAX));
    let real = faces.batch(&test, Device::Cpu);
    let known = moments(&real.images);
    let ages = real.ages.clamp(AGES[0], AGES[1]);
    let all = made(&ages, 99)?;
    let distance = |images: &Tensor| moments(images).distance(&known);
    let mut train = faces.part(Part::Train);
    train.truncate(test.len());
    let distances = [
        ("normal_distribution", distance(&normal.draw(&ages, 99))),
        ("other_photographs", distance(&faces.batch(&train, Device::Cpu).images)),
    ];
    let verifier = jury.verifier();
    let alike = verifier.alike(&jury.directions(&all)?);
    let alike_photographs = verifier.alike(&jury.directions(&real.images)?);
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "UTKFace, {each} faces at each of 5, 15 … 75 years, and {} at the ages of the held-out faces",
            test.len()
        ),
        figures: vec![
            Figure::new("age_slope", by_us.slope)
                .beside(&beside(|v| v.slope))
                .levels(Bound::AtLeast(0.4), Bound::AtLeast(0.8)),
            Figure::new("age_slope_by_gradients", by_us.slope_ridge).beside(&beside(|v| v.slope_ridge)),
            Figure::new("age_error_years", by_us.error).beside(&beside(|v| v.error)),
            Figure::new("gradient_distance", distance(&all)).beside(&distances),
            Figure::new("alike", alike).beside(&[("photographs", alike_photographs)]),
        ],
        notes: vec![
            "age_slope, age_error_years: by a network that had no part in training".into(),
            "gradient_distance: Frechet distance of gradients and colours from the held-out faces; of two versions, the one that is better by it on these very faces is shipped"
                .into(),
            "alike: pairs of faces that would be taken for one; many where only a few faces are made".into(),
            "normal_distribution: faces drawn about the mean of their age, with the covariance of that age"
                .into(),
        ],
    })
}

/// Of gradients in cells of 8 pixels and the colours of 8 x 8 squares.
fn moments(images: &Tensor) -> Moments {
    let parts: Vec<Tensor> = images
        .split(500, 0)
        .iter()
        .map(|chunk| {
            let grey = chunk.mean_dim([1i64].as_slice(), true, Kind::Float);
            Tensor::cat(&[cells(&grey, 8, 0.04), chunk.adaptive_avg_pool2d([8, 8]).flatten(1, -1)], 1)
        })
        .collect();
    Moments::of(&Tensor::cat(&parts, 0))
}

/// Whether a package makes faces by age.
#[must_use]
pub fn fits(package: &Package) -> bool {
    package.manifest().graph("generator").is_some_and(|graph| graph.input("age").is_some())
}
