//! Runs the graphs of a model by the names of their inputs and outputs.

use std::time::Instant;

use atelier_chassis::ServiceError;
use atelier_engine::{Model, Tensor};
use atelier_package::{Dim, ImageShape, TensorSpec};

use crate::picture::Picture;

/// Runs the graph `graph` on `rows` rows of each of its inputs, which are given by name.
pub(crate) async fn run(
    model: &Model,
    graph: &str,
    rows: usize,
    inputs: Vec<(&'static str, Vec<f32>)>,
    deadline: Option<Instant>,
) -> Result<Outputs, ServiceError> {
    let graph = model.graph(graph)?;
    let mut inputs = inputs;
    let mut tensors = Vec::with_capacity(inputs.len());
    for spec in &graph.spec().inputs {
        let Some(at) = inputs.iter().position(|(name, _)| *name == spec.name) else {
            return Err(unfit(model, &format!("wants an input {:?} that nobody fills", spec.name)));
        };
        let (_, values) = inputs.swap_remove(at);
        let tensor = Tensor::f32(shape(spec, rows), values);
        tensors.push(tensor.map_err(|error| unfit(model, &format!("input {:?}: {error}", spec.name)))?);
    }
    let outputs = graph.run(tensors, deadline).await?;
    let names = graph.spec().outputs.iter().map(|spec| spec.name.clone());
    let outputs =
        names.zip(outputs).filter_map(|(name, tensor)| tensor.into_f32().map(|v| (name, v))).collect();
    Ok(Outputs { model: model.name().to_string(), outputs })
}

/// What a graph gave.
#[derive(Debug)]
pub(crate) struct Outputs {
    model: String,
    outputs: Vec<(String, Vec<f32>)>,
}

impl Outputs {
    /// The values of one output, row after row.
    pub(crate) fn take(&mut self, name: &str) -> Result<Vec<f32>, ServiceError> {
        match self.outputs.iter().position(|(output, _)| output == name) {
            Some(at) => Ok(self.outputs.swap_remove(at).1),
            None => Err(ServiceError::internal(format!("model {} gave no output {name:?}", self.model))),
        }
    }
}

/// The shape of the images of a tensor of one of the model's graphs.
pub(crate) fn image_shape(model: &Model, spec: Option<&TensorSpec>) -> Result<ImageShape, ServiceError> {
    match spec.map(|spec| spec.shape.as_slice()) {
        Some([_, Dim::Fixed(channels @ (1 | 3)), Dim::Fixed(height), Dim::Fixed(width)]) => {
            Ok(ImageShape { channels: *channels, height: *height, width: *width })
        }
        _ => Err(unfit(model, "its images are not of a fixed size, grey or colour")),
    }
}

/// How many numbers a code of the model has.
pub(crate) fn code_length(model: &Model) -> Result<usize, ServiceError> {
    let spec = model.manifest().graph("decoder").and_then(|graph| graph.input("code"));
    let spec = spec.ok_or_else(|| unfit(model, "it has no decoder of codes"))?;
    Ok(shape(spec, 1).iter().product())
}

/// Splits the images of several rows.
pub(crate) fn pictures(shape: ImageShape, values: &[f32]) -> Vec<Picture> {
    let length = shape.channels * shape.height * shape.width;
    values.chunks(length.max(1)).map(|row| Picture { shape, values: row.to_vec() }).collect()
}

/// The shape of a tensor of so many rows. What else is open is taken for 1.
fn shape(spec: &TensorSpec, rows: usize) -> Vec<usize> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => *n,
        dim if dim.is_batch() => rows,
        Dim::Symbol(_) => 1,
    };
    spec.shape.iter().map(size).collect()
}

/// A package whose graphs are not what its kind promises: ours to mend, not the caller's.
fn unfit(model: &Model, why: &str) -> ServiceError {
    ServiceError::internal(format!("model {}/{} cannot be used: {why}", model.name(), model.version()))
}
