//! Runs the graphs of a model by the names of their inputs and outputs.

use std::time::Instant;

use atelier_engine::{Model, Tensor, TensorData};
use atelier_package::{Dim, TensorSpec};

use crate::ServiceError;

/// Runs the graph `graph` on `rows` rows of each of its inputs, which are given by name.
///
/// # Errors
/// The engine's, and INTERNAL where the graph takes another input, or more or fewer values.
pub async fn run(
    model: &Model,
    graph: &str,
    rows: usize,
    inputs: Vec<(&'static str, TensorData)>,
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
        let tensor = Tensor::new(shape(spec, rows), values);
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
pub struct Outputs {
    model: String,
    outputs: Vec<(String, Vec<f32>)>,
}

impl Outputs {
    /// The values of one output, row after row.
    ///
    /// # Errors
    /// INTERNAL where there is none of that name, or it is not of floats.
    pub fn take(&mut self, name: &str) -> Result<Vec<f32>, ServiceError> {
        match self.outputs.iter().position(|(output, _)| output == name) {
            Some(at) => Ok(self.outputs.swap_remove(at).1),
            None => Err(ServiceError::internal(format!("model {} gave no output {name:?}", self.model))),
        }
    }
}

/// The shape of a tensor of so many rows. What else is open is taken for 1.
pub fn shape(spec: &TensorSpec, rows: usize) -> Vec<usize> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => *n,
        dim if dim.is_batch() => rows,
        Dim::Symbol(_) => 1,
    };
    spec.shape.iter().map(size).collect()
}

/// A package whose graphs are not what its kind promises: ours to mend, not the caller's.
pub fn unfit(model: &Model, why: &str) -> ServiceError {
    ServiceError::internal(format!("model {}/{} cannot be used: {why}", model.name(), model.version()))
}
