//! A request to run a graph, checked against what the graph takes.

use std::collections::BTreeSet;

use atelier_chassis::ServiceError;
use atelier_package::{Bindings, GraphSpec, Tensor, TensorSpec};
use atelier_proto::inference::InferTensorContents;
use atelier_proto::inference::ModelInferRequest;
use atelier_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use bytes::Bytes;

use crate::catalog::short;
use crate::{contents, datatype, parameters};

/// What is to be run, and what of it is wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct Job {
    /// In the order of the graph's inputs.
    pub(crate) inputs: Vec<Tensor>,
    /// Places among the graph's outputs, in the order of the answer.
    pub(crate) outputs: Vec<usize>,
    /// Whether the elements came as bytes, and so are answered as bytes.
    pub(crate) raw: bool,
}

/// Where the elements of one input are.
enum Elements {
    Raw { at: usize, bytes: Bytes },
    Typed(InferTensorContents),
}

impl Job {
    /// Reads the tensors of a request.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming the field.
    pub(crate) fn new(spec: &GraphSpec, request: ModelInferRequest) -> Result<Self, ServiceError> {
        let ModelInferRequest { inputs, outputs, raw_input_contents, .. } = request;
        let raw = !raw_input_contents.is_empty();
        let outputs = wanted(spec, &outputs)?;
        let mut slots: Vec<Option<(InferInputTensor, Elements)>> = spec.inputs.iter().map(|_| None).collect();
        let count = inputs.len();
        if raw && raw_input_contents.len() != count {
            let message = format!("has {} entries, but there are {count} inputs", raw_input_contents.len());
            return Err(ServiceError::invalid("raw_input_contents", message));
        }
        let mut bytes = raw_input_contents.into_iter();
        for (at, mut input) in inputs.into_iter().enumerate() {
            let slot = spec.inputs.iter().position(|known| known.name == input.name);
            let slot = slot
                .and_then(|slot| slots.get_mut(slot))
                .ok_or_else(|| unknown(at, &input.name, &spec.inputs))?;
            let field = format!("inputs.{}", input.name);
            if slot.is_some() {
                return Err(ServiceError::invalid(field, "is there twice"));
            }
            parameters::none_of(&field, &input.parameters)?;
            let elements = match (bytes.next(), input.contents.take()) {
                (Some(_), Some(_)) => {
                    let message = "is there together with raw_input_contents; one of them is right";
                    return Err(ServiceError::invalid(format!("{field}.contents"), message));
                }
                (Some(bytes), None) => Elements::Raw { at, bytes },
                (None, Some(contents)) => Elements::Typed(contents),
                (None, None) => {
                    let message = "is missing, and so is raw_input_contents; one of them is right";
                    return Err(ServiceError::invalid(format!("{field}.contents"), message));
                }
            };
            *slot = Some((input, elements));
        }
        let mut bindings = Bindings::new();
        let mut tensors = Vec::with_capacity(slots.len());
        for (spec, slot) in spec.inputs.iter().zip(slots) {
            let Some((input, elements)) = slot else {
                let message = format!("is missing, but {} is needed", of(spec));
                return Err(ServiceError::invalid(format!("inputs.{}", spec.name), message));
            };
            tensors.push(tensor(spec, &input, elements, &mut bindings)?);
        }
        Ok(Self { inputs: tensors, outputs, raw })
    }
}

fn tensor(
    spec: &TensorSpec,
    input: &InferInputTensor,
    elements: Elements,
    bindings: &mut Bindings,
) -> Result<Tensor, ServiceError> {
    let field = format!("inputs.{}", spec.name);
    if input.datatype != datatype::name(spec.dtype) {
        let message = format!("is {:?}, but {} is right", short(&input.datatype), datatype::name(spec.dtype));
        return Err(ServiceError::invalid(format!("{field}.datatype"), message));
    }
    let shape = shape(spec, &input.shape, bindings)?;
    match elements {
        Elements::Raw { at, bytes } => {
            // Both the place and the name: one is in the message, the other in the caller's code.
            let field = format!("raw_input_contents[{at}] ({})", spec.name);
            contents::raw(&field, spec.dtype, shape, &bytes)
        }
        Elements::Typed(typed) => contents::typed(&format!("{field}.contents"), spec.dtype, shape, typed),
    }
}

/// The shape of an input, before anything is believed of it: it fits the graph, and can be counted.
fn shape(spec: &TensorSpec, shape: &[i64], bindings: &mut Bindings) -> Result<Vec<usize>, ServiceError> {
    let wrong = |why: String| {
        let message = format!("is {shape:?}, but {} is right{why}", spec.shape_text());
        Err(ServiceError::invalid(format!("inputs.{}.shape", spec.name), message))
    };
    let sizes: Option<Vec<usize>> = shape.iter().map(|n| usize::try_from(*n).ok()).collect();
    let Some(sizes) = sizes else { return wrong(", none of them below 0".into()) };
    if let Err(why) = spec.check_sizes(&sizes, bindings) {
        return wrong(why);
    }
    match sizes.iter().try_fold(1_usize, |n, size| n.checked_mul(*size)) {
        Some(_) => Ok(sizes),
        None => wrong(", of fewer elements".into()),
    }
}

/// The outputs that are to be answered.
fn wanted(spec: &GraphSpec, outputs: &[InferRequestedOutputTensor]) -> Result<Vec<usize>, ServiceError> {
    if outputs.is_empty() {
        return Ok((0..spec.outputs.len()).collect());
    }
    let mut seen = BTreeSet::new();
    let mut places = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.iter().enumerate() {
        let Some(place) = spec.outputs.iter().position(|known| known.name == output.name) else {
            let known: Vec<&str> = spec.outputs.iter().map(|spec| spec.name.as_str()).collect();
            let message = format!("is {:?}, but the model gives: {}", short(&output.name), known.join(", "));
            return Err(ServiceError::invalid(format!("outputs[{at}].name"), message));
        };
        let field = format!("outputs.{}", output.name);
        if !seen.insert(place) {
            return Err(ServiceError::invalid(field, "is there twice"));
        }
        parameters::none_of(&field, &output.parameters)?;
        places.push(place);
    }
    Ok(places)
}

fn unknown(at: usize, name: &str, known: &[TensorSpec]) -> ServiceError {
    let known: Vec<String> = known.iter().map(|spec| format!("{} ({})", spec.name, of(spec))).collect();
    let message = format!("is {:?}, but the model takes: {}", short(name), known.join(", "));
    ServiceError::invalid(format!("inputs[{at}].name"), message)
}

fn of(spec: &TensorSpec) -> String {
    format!("{} {}", datatype::name(spec.dtype), spec.shape_text())
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
