//! How well faces are aged: by judges that had no part in training, beside ageing without a network.

use std::path::Path;

use anyhow::Context;
use atelier_package::Package;
use tch::{Device, Kind, Tensor};

use super::faces::baselines::{Prototypes, others};
use super::faces::jury::{Jury, Verdict, beside, run};
use super::faces::refusals::{refused, strangers};
use super::report::{Bound, Figure, Report};
use super::ssim::psnr;
use super::{Settings, session};
use crate::data::faces::{Faces, Part};
use crate::nets::age_code::AGES;
use crate::onnx_runtime::OnnxRuntime;

/// Ages that every face is asked for, in years.
pub const TARGETS: [f64; 8] = [5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0];
/// Faces that strangers are made from.
const STRANGERS: i64 = 400;
/// A pixel has changed when a colour of it has, by more than this.
const CHANGED: f64 = 0.05;

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let faces = Faces::read(data)?;
    let judges = settings.judges.clone().unwrap_or_else(|| beside(package));
    let mut jury = Jury::call(&judges, &faces, runtime)?;
    let mut test = faces.part(Part::Test);
    test.truncate(settings.limit.unwrap_or(usize::MAX));
    let real = faces.batch(&test, Device::Cpu);
    let n = real.images.size()[0];
    let before = jury.directions(&real.images)?;

    let mut ager = session(package, runtime, "ager")?;
    let mut at = |ages: &Tensor| run(&mut ager, &[&real.images, ages]);
    let aged: Vec<Tensor> =
        TARGETS.iter().map(|&target| at(&real.ages.full_like(target))).collect::<anyhow::Result<_>>()?;
    let own = at(&real.ages.clamp(AGES[0], AGES[1]))?;
    let changed: f64 = aged.iter().map(|images| changed(images, &real.images)).sum();

    let prototypes = Prototypes::of(&faces);
    let each = |make: &dyn Fn(f64) -> Tensor| TARGETS.iter().map(|&t| make(t)).collect::<Vec<Tensor>>();
    let ours = jury.judge(&TARGETS, &aged, Some(&before))?;
    let copy = jury.judge(&TARGETS, &each(&|_| real.images.shallow_clone()), Some(&before))?;
    let moved = each(&|target| prototypes.age(&real.images, &real.ages, target));
    let prototype = jury.judge(&TARGETS, &moved, Some(&before))?;
    let strangers_of_age = each(&|target| others(&faces, n as usize, target));
    let other = jury.judge(&TARGETS, &strangers_of_age, Some(&before))?;
    let beside = |part: fn(&Verdict) -> f64| {
        [("copy", part(&copy)), ("prototype", part(&prototype)), ("other_face", part(&other))]
    };

    let judge_error = |ages: &Tensor| (ages - &real.ages).abs().mean(Kind::Double).double_value(&[]);
    let network_error = judge_error(&jury.ages(&real.images)?);
    let ridge_error = judge_error(&jury.ages_by_ridge(&real.images));
    let slope = Figure::new("age_slope", ours.slope)
        .beside(&beside(|v| v.slope))
        .levels(Bound::AtLeast(0.4), Bound::AtLeast(0.8));
    let verified = Figure::new("verified", ours.verified)
        .beside(&beside(|v| v.verified))
        .levels(Bound::AtLeast(0.80), Bound::AtLeast(0.97));
    let mut figures = vec![
        slope.clone().together_with(&verified),
        verified.together_with(&slope),
        Figure::new("age_slope_by_gradients", ours.slope_ridge).beside(&beside(|v| v.slope_ridge)),
        Figure::new("age_error_years", ours.error).beside(&beside(|v| v.error)),
        Figure::new("monotonicity", ours.monotonicity).beside(&beside(|v| v.monotonicity)),
        Figure::new("own_age_psnr_db", psnr(&own, &real.images)),
        Figure::new("changed_area", changed / TARGETS.len() as f64),
    ];
    figures.extend(refusals(package, data, runtime, &real.images)?);
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "UTKFace, {n} held-out faces, each at 5, 15 … 75 years; a same face is one that fewer than 1 % of other faces' pairs would pass for"
        ),
        figures,
        notes: vec![
            "age_slope, verified: a level is reached where both figures reach it, for each is easy without the other"
                .into(),
            format!(
                "age_slope, age_error_years, monotonicity: by a network that had no part in training and errs by {network_error:.2} years on the held-out faces"
            ),
            format!(
                "age_slope_by_gradients: by a linear regression on gradients that errs by {ridge_error:.2} years on them"
            ),
            "verified: by an encoder that learned without labels and had no part in training".into(),
            "prototype: the difference of mean faces, added; other_face: a random face of the age asked for"
                .into(),
            "strangers_refused: what refuses them was taught all of these families but clothes, by other examples"
                .into(),
        ],
    })
}

/// The part of pixels that are no longer as they were.
fn changed(made: &Tensor, from: &Tensor) -> f64 {
    let most = (made - from).abs().amax([1i64].as_slice(), false);
    most.gt(CHANGED).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

/// How often the package refuses what is a face and what is none.
fn refusals(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    faces: &Tensor,
) -> anyhow::Result<Vec<Figure>> {
    let limit = package.manifest().novelty.context("package.toml has no [novelty]")?.limit;
    let mut novelty = session(package, runtime, "novelty")?;
    let mut rate = |images: &Tensor| anyhow::Ok(refused(&run(&mut novelty, &[images])?, limit));
    let some = faces.narrow(0, 0, STRANGERS.min(faces.size()[0]));
    let mut kinds = Vec::new();
    for (name, images) in strangers(&some, data) {
        kinds.push((name, rate(&images)?));
    }
    let mean = kinds.iter().map(|(_, rate)| rate).sum::<f64>() / kinds.len() as f64;
    Ok(vec![
        Figure::new("faces_refused", rate(faces)?).levels(Bound::AtMost(0.005), Bound::AtMost(0.005)),
        Figure::new("strangers_refused", mean)
            .beside(&kinds)
            .levels(Bound::AtLeast(0.8), Bound::AtLeast(0.95)),
    ])
}
