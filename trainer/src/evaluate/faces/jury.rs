//! The judges of the face models: an age judge and an encoder that no model was trained against, and a
//! regression that was never trained by descent.
//!
//! The two networks are packages of kind `onnx` in a directory of judges, `judges/NAME/VERSION` beside
//! `models/NAME/VERSION`, where no service looks for models.

use std::path::{Path, PathBuf};

use anyhow::Context;
use atelier_package::Package;
use tch::{Device, Kind, Tensor};

use super::response::{monotonicity, slope};
use super::ridge::AgeRidge;
use super::verification::Verifier;
use crate::data::faces::{Faces, Part};
use crate::evaluate::{plain, session, torch};
use crate::nets::face_encoder::directions;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};

/// The age judge, and the graph that it is asked by.
const AGE_JUDGE: (&str, &str) = ("face-age-judge-b/1", "judge");
/// The encoder.
const ENCODER: (&str, &str) = ("face-encoder-b/1", "encoder");
/// The chance at which another face is taken for the same one.
const FALSE_ACCEPTS: f64 = 0.01;
/// Images at a time.
const CHUNK: i64 = 200;

/// Who judges.
pub struct Jury {
    judge: GraphSession,
    encoder: GraphSession,
    ridge: AgeRidge,
    verifier: Verifier,
}

/// What they say of faces at several ages.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Slope of the ages that the network sees over those that were asked for.
    pub slope: f64,
    /// The same by the regression.
    pub slope_ridge: f64,
    /// Years from what was asked for to what the network sees, as a mean.
    pub error: f64,
    /// See [`monotonicity`].
    pub monotonicity: f64,
    /// The part that is still taken for the same face; not a number where there is none to compare with.
    pub verified: f64,
}

/// Where the judges of a package lie, unless it is said: `judges` beside the directory of all models.
#[must_use]
pub fn beside(package: &Package) -> PathBuf {
    package.directory().ancestors().nth(3).unwrap_or(Path::new("")).join("judges")
}

impl Jury {
    /// Opens the networks in `directory`, teaches the regression the training faces, and sets the threshold of
    /// verification on the test faces.
    ///
    /// # Errors
    /// Names the judge that is missing or damaged.
    pub fn call(directory: &Path, faces: &Faces, runtime: &OnnxRuntime) -> anyhow::Result<Self> {
        let open = |(name, graph): (&str, &str)| {
            let package = Package::open(&directory.join(name)).context("a judge of faces cannot be used")?;
            session(&package, runtime, graph)
        };
        let (judge, mut encoder) = (open(AGE_JUDGE)?, open(ENCODER)?);
        let ridge = AgeRidge::fit(faces, &faces.part(Part::Train))?;
        let test = faces.batch(&faces.part(Part::Test), Device::Cpu).images;
        let verifier = Verifier::new(&directions(&run(&mut encoder, &[&test])?), FALSE_ACCEPTS);
        Ok(Self { judge, encoder, ridge, verifier })
    }

    /// Ages f32 `[n]` in years that the network sees in `[n, 3, 64, 64]`.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn ages(&mut self, images: &Tensor) -> anyhow::Result<Tensor> {
        run(&mut self.judge, &[images])
    }

    /// Ages by the regression.
    pub fn ages_by_ridge(&self, images: &Tensor) -> Tensor {
        self.ridge.judge(images)
    }

    /// What each face's embedding points to, `[n, width]` of length 1.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn directions(&mut self, images: &Tensor) -> anyhow::Result<Tensor> {
        Ok(directions(&run(&mut self.encoder, &[images])?))
    }

    /// Tells faces apart.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.verifier
    }

    /// Judges faces at `targets` years: for each target, images `[n, 3, 64, 64]`, made of the faces whose
    /// directions are `before`, if they are made of faces.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn judge(
        &mut self,
        targets: &[f64],
        made: &[Tensor],
        before: Option<&Tensor>,
    ) -> anyhow::Result<Verdict> {
        let (mut seen, mut by_ridge) = (Vec::new(), Vec::new());
        let (mut error, mut verified) = (0.0, 0.0);
        for (target, images) in targets.iter().zip(made) {
            let ages = self.ages(images)?;
            error += (&ages - *target).abs().mean(Kind::Double).double_value(&[]);
            verified += match before {
                Some(before) => {
                    let after = self.directions(images)?;
                    self.verifier.rate(before, &after)
                }
                None => f64::NAN,
            };
            seen.push(ages);
            by_ridge.push(self.ridge.judge(images));
        }
        let (seen, by_ridge) = (Tensor::stack(&seen, 0), Tensor::stack(&by_ridge, 0));
        let count = targets.len() as f64;
        Ok(Verdict {
            slope: slope(targets, &seen),
            slope_ridge: slope(targets, &by_ridge),
            error: error / count,
            monotonicity: monotonicity(&seen),
            verified: verified / count,
        })
    }
}

/// A graph's first output for rows of its inputs, a few at a time.
pub(in crate::evaluate) fn run(graph: &mut GraphSession, inputs: &[&Tensor]) -> anyhow::Result<Tensor> {
    let n = inputs.first().map_or(0, |x| x.size()[0]);
    let mut outputs = Vec::new();
    for start in (0..n).step_by(CHUNK as usize) {
        let count = CHUNK.min(n - start);
        let chunk: Vec<_> =
            inputs.iter().map(|x| plain(&x.narrow(0, start, count))).collect::<anyhow::Result<_>>()?;
        outputs.push(torch(graph.run(&chunk)?.first().context("a graph gave nothing")?)?);
    }
    Ok(Tensor::cat(&outputs, 0))
}
