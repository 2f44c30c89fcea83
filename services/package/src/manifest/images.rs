//! What the kinds that make images promise: `gan` and `ager`.

use serde::{Deserialize, Serialize};

use super::{GraphSpec, Manifest};
use crate::error::FieldError;
use crate::manifest::spec::{Dim, TensorSpec};
use crate::tensor::Dtype;

/// The most numbers of a latent code.
const LATENT: usize = 4096;
/// The greatest age in years that a model can be asked for.
const OLDEST: f64 = 150.0;

/// What is too far from the data that a model was trained on to be given to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    /// The greatest `score` of the graph `novelty` that is still let through; finite.
    pub limit: f64,
}

impl Novelty {
    pub(super) fn validate(self) -> Result<(), FieldError> {
        match self.limit.is_finite() {
            true => Ok(()),
            false => Err(FieldError::new(
                "novelty.limit",
                format!("is {}, but a finite number is right", self.limit),
            )),
        }
    }
}

/// Whether the graph `generator` can be given what it takes.
pub(super) fn gan(manifest: &Manifest) -> Result<(), FieldError> {
    let Some(graph) = manifest.graph("generator") else { return Ok(()) };
    let latent = |s: &TensorSpec| matches!(s.shape.as_slice(), [_, Dim::Fixed(n)] if *n <= LATENT);
    for spec in &graph.inputs {
        let at = format!("graph.generator.inputs.{}", spec.name);
        match spec.name.as_str() {
            "z" if spec.dtype == Dtype::F32 && spec.batch_axis() == Some(0) && latent(spec) => {}
            "z" => return Err(FieldError::new(at, format!("must be f32 [batch, D], D at most {LATENT}"))),
            "class" if one_each(spec, Dtype::I64) => {
                let none = || FieldError::new("labels", "must name the classes of the input `class`");
                manifest.labels.as_ref().ok_or_else(none)?.check_ids(&at, spec.range)?;
            }
            "class" => return Err(FieldError::new(at, "must be i64 [batch]")),
            "age" => age(&at, spec)?,
            _ => return Err(FieldError::new(at, "is none of z, class and age: nobody would give it")),
        }
    }
    if manifest.labels.is_some() && graph.input("class").is_none() {
        return Err(FieldError::new("labels", "are there, but the generator has no input `class`"));
    }
    picture(graph, "image", &[1, 3]).map(|_| ())
}

/// Whether `ager` and `novelty` take the same pictures.
pub(super) fn ager(manifest: &Manifest) -> Result<(), FieldError> {
    let (Some(ager), Some(novelty)) = (manifest.graph("ager"), manifest.graph("novelty")) else {
        return Ok(());
    };
    if manifest.novelty.is_none() {
        return Err(FieldError::new("novelty", "must say the limit of the graph `novelty`"));
    }
    let size = picture(ager, "image", &[3])?;
    for (graph, name) in [(ager, "aged"), (novelty, "image")] {
        let other = picture(graph, name, &[3])?;
        if other != size {
            let at = format!("graph.{}.{name}", graph.name);
            let message =
                format!("is {}x{}, but `image` of graph.ager is {}x{}", other.1, other.0, size.1, size.0);
            return Err(FieldError::new(at, message));
        }
    }
    if !novelty.output("score").is_some_and(|spec| one_each(spec, Dtype::F32)) {
        return Err(FieldError::new("graph.novelty.outputs.score", "must be f32 [batch]"));
    }
    for (graph, known) in [(ager, &["image", "age"][..]), (novelty, &["image"])] {
        for spec in &graph.inputs {
            let at = format!("graph.{}.inputs.{}", graph.name, spec.name);
            if !known.contains(&spec.name.as_str()) {
                let message = format!("is none of {}: nobody would give it", known.join(" and "));
                return Err(FieldError::new(at, message));
            }
            if spec.name == "age" {
                age(&at, spec)?;
            }
        }
    }
    Ok(())
}

/// Height and width of a picture of fixed size and one of these numbers of channels.
fn picture(graph: &GraphSpec, name: &str, channels: &[usize]) -> Result<(usize, usize), FieldError> {
    let spec = graph.input(name).or_else(|| graph.output(name));
    match spec.and_then(TensorSpec::image_shape) {
        Some(shape) if channels.contains(&shape.channels) => Ok((shape.height, shape.width)),
        _ => {
            let right: Vec<String> = channels.iter().map(ToString::to_string).collect();
            let message = format!("must be f32 [batch, {}, h, w] of fixed h and w", right.join(" or "));
            Err(FieldError::new(format!("graph.{}.{name}", graph.name), message))
        }
    }
}

fn age(at: &str, spec: &TensorSpec) -> Result<(), FieldError> {
    if !one_each(spec, Dtype::F32) {
        return Err(FieldError::new(at, "must be f32 [batch], in years"));
    }
    match spec.range {
        Some([lo, hi]) if lo >= 0.0 && hi <= OLDEST => Ok(()),
        _ => Err(FieldError::new(
            format!("{at}.range"),
            format!("must say the years it knows, 0 to {OLDEST} at most"),
        )),
    }
}

/// One number for each row of the batch.
fn one_each(spec: &TensorSpec, dtype: Dtype) -> bool {
    spec.dtype == dtype && spec.shape.len() == 1 && spec.batch_axis() == Some(0)
}
