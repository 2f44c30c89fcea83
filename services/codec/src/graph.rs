//! What the graphs of a codec's models take and give.

use atelier_chassis::ServiceError;
use atelier_chassis::models::graph::{shape, unfit};
use atelier_engine::Model;
use atelier_package::{ImageShape, TensorSpec};

/// The shape of the images of a tensor of one of the model's graphs.
pub(crate) fn image_shape(model: &Model, spec: Option<&TensorSpec>) -> Result<ImageShape, ServiceError> {
    let shape = spec.and_then(TensorSpec::image_shape).filter(|shape| matches!(shape.channels, 1 | 3));
    shape.ok_or_else(|| unfit(model, "its images are not of a fixed size, grey or colour"))
}

/// How many numbers a code of the model has.
pub(crate) fn code_length(model: &Model) -> Result<usize, ServiceError> {
    let spec = model.manifest().graph("decoder").and_then(|graph| graph.input("code"));
    let spec = spec.ok_or_else(|| unfit(model, "it has no decoder of codes"))?;
    Ok(shape(spec, 1).iter().product())
}
