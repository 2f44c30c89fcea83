//! Filling holes in images.

use atelier_chassis::models::model_version;
use atelier_chassis::{ServiceError, Stage};
use atelier_picture::{Encoded, Picture, message};
use atelier_proto::codec::v1 as api;

use crate::codec::Job;
use crate::graph::image_shape;

/// Answers a request.
pub(crate) async fn inpaint(
    job: &Job,
    request: api::InpaintRequest,
) -> Result<api::InpaintResponse, ServiceError> {
    let fit = message::fit(request.fit)?;
    let image = Encoded::new("image", request.image)?;
    let mask = Encoded::new("mask", request.mask)?;
    let spec = job.model.manifest().graph("inpainter").and_then(|graph| graph.input("image"));
    let shape = image_shape(&job.model, spec)?;
    let (picture, mask) =
        job.blocking.run(Stage::Decode, move || image.fit_with_mask(mask, fit, shape)).await?;
    let filled_fraction = mask.values.iter().sum::<f32>() / mask.values.len().max(1) as f32;
    let inputs = vec![("image", picture.values), ("mask", mask.values)];
    let values = job.run("inpainter", 1, inputs).await?.take("filled")?;
    job.finite("image", &values)?;
    Ok(api::InpaintResponse {
        model: Some(model_version(&job.model)),
        image: job.image(Picture { shape, values }).await?,
        filled_fraction,
    })
}
