//! What the kinds that read images promise beyond the names of their graphs: the optional graphs of an
//! `autoencoder`, and the mask of an `inpainter`.

use super::{GraphSpec, Manifest};
use crate::error::FieldError;
use crate::manifest::spec::{Dim, TensorSpec};
use crate::tensor::Dtype;

/// Whether `classifier` and `features`, where they are there, take the encoder's images and give a row of
/// numbers for each, and `[labels]` names the classes.
pub(super) fn autoencoder(manifest: &Manifest) -> Result<(), FieldError> {
    let image = manifest.graph("encoder").and_then(|graph| graph.input("image"));
    for (name, output) in [("classifier", "logits"), ("features", "features")] {
        let Some(graph) = manifest.graph(name) else { continue };
        only_inputs(graph, &["image"])?;
        same(graph, "image", image, "image of graph.encoder")?;
        let row = |s: &&TensorSpec| {
            s.dtype == Dtype::F32
                && s.batch_axis() == Some(0)
                && matches!(s.shape.as_slice(), [_, Dim::Fixed(_)])
        };
        if graph.output(output).filter(row).is_none() {
            return Err(FieldError::new(format!("graph.{name}.outputs.{output}"), "must be f32 [batch, N]"));
        }
    }
    let logits = manifest.graph("classifier").and_then(|graph| graph.output("logits"));
    match (logits, &manifest.labels) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(FieldError::new("labels", "are there, but there is no graph `classifier`")),
        (Some(_), None) => {
            Err(FieldError::new("labels", "must name the classes that the graph `classifier` tells"))
        }
        (Some(logits), Some(labels)) if logits.shape.get(1) == Some(&labels.names.len().into()) => Ok(()),
        (Some(logits), Some(labels)) => Err(FieldError::new(
            "graph.classifier.outputs.logits",
            format!("is {}, but [labels] has {} names", logits.shape_text(), labels.names.len()),
        )),
    }
}

/// Whether the mask and what is filled are of the image's size.
pub(super) fn inpainter(manifest: &Manifest) -> Result<(), FieldError> {
    let Some(graph) = manifest.graph("inpainter") else { return Ok(()) };
    only_inputs(graph, &["image", "mask"])?;
    let image = graph.input("image");
    let fixed =
        |s: &TensorSpec| matches!(s.shape.as_slice(), [_, Dim::Fixed(1 | 3), Dim::Fixed(_), Dim::Fixed(_)]);
    if !image.is_some_and(fixed) {
        let message = "must be f32 [batch, 1 or 3, h, w] of fixed h and w";
        return Err(FieldError::new("graph.inpainter.image", message));
    }
    same(graph, "filled", image, "image")?;
    let mask = image.map(|image| {
        let mut mask = image.clone();
        if let Some(channels) = mask.shape.get_mut(1) {
            *channels = Dim::Fixed(1);
        }
        mask
    });
    same(graph, "mask", mask.as_ref(), "one channel of image")
}

fn only_inputs(graph: &GraphSpec, known: &[&str]) -> Result<(), FieldError> {
    match graph.inputs.iter().find(|spec| !known.contains(&spec.name.as_str())) {
        None => Ok(()),
        Some(other) => Err(FieldError::new(
            format!("graph.{}.inputs.{}", graph.name, other.name),
            format!("is none of {}: nobody would give it", known.join(" and ")),
        )),
    }
}

/// Whether the graph's tensor `name` is of the type and shape of `like`, which is called `what`.
fn same(graph: &GraphSpec, name: &str, like: Option<&TensorSpec>, what: &str) -> Result<(), FieldError> {
    let spec = graph.input(name).or_else(|| graph.output(name));
    let (Some(spec), Some(like)) = (spec, like) else {
        return Err(FieldError::new(format!("graph.{}.{name}", graph.name), "is missing"));
    };
    if spec.dtype == like.dtype && spec.shape == like.shape {
        return Ok(());
    }
    let is = |s: &TensorSpec| format!("{} {}", s.dtype, s.shape_text());
    Err(FieldError::new(
        format!("graph.{}.{name}", graph.name),
        format!("is {}, but {what} is {}", is(spec), is(like)),
    ))
}
