//! What a graph gave, as a message.

use atelier_chassis::ServiceError;
use atelier_package::{GraphSpec, Tensor};
use atelier_proto::inference::ModelInferResponse;
use atelier_proto::inference::model_infer_response::InferOutputTensor;

use crate::catalog::{Target, version_text};
use crate::{contents, datatype};

/// The outputs that are wanted, in their order, with their elements in the form in which the inputs came.
///
/// # Errors
/// INTERNAL where the graph gave fewer outputs than its package says.
pub(crate) fn response(
    target: &Target,
    spec: &GraphSpec,
    id: String,
    given: Vec<Tensor>,
    wanted: &[usize],
    raw: bool,
) -> Result<ModelInferResponse, ServiceError> {
    let mut given: Vec<Option<Tensor>> = given.into_iter().map(Some).collect();
    let mut answer = ModelInferResponse {
        model_name: target.name.clone(),
        model_version: version_text(target),
        id,
        ..ModelInferResponse::default()
    };
    for place in wanted {
        let tensor = given.get_mut(*place).and_then(Option::take);
        let (Some(tensor), Some(spec)) = (tensor, spec.outputs.get(*place)) else {
            return Err(ServiceError::internal(format!("{} gave no output {place}", target.name)));
        };
        let mut output = InferOutputTensor {
            name: spec.name.clone(),
            datatype: datatype::name(tensor.dtype()).to_owned(),
            shape: tensor.shape().iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect(),
            ..InferOutputTensor::default()
        };
        match raw {
            true => answer.raw_output_contents.push(contents::to_raw(tensor)),
            false => output.contents = Some(contents::to_typed(tensor)),
        }
        answer.outputs.push(output);
    }
    Ok(answer)
}
