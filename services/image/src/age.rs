//! Shows a face at other ages.

use atelier_chassis::ServiceError;
use atelier_chassis::models::graph::unfit;
use atelier_engine::TensorData;
use atelier_picture::{Encoded, Fit, Picture};
use atelier_proto::image::v1 as api;

use crate::condition::years;
use crate::job::Job;

/// The most ages of one request.
const MAX_AGES: usize = 16;

/// How far a picture is from a face, and how far it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Novelty {
    pub(crate) score: f32,
    pub(crate) limit: f64,
}

/// Checks the ages of a request.
pub(crate) fn ages(job: &Job, ages: &[f32]) -> Result<(), ServiceError> {
    let spec = job.input("ager", "age").ok_or_else(|| unfit(&job.model, "its ager takes no age"))?;
    let [least, greatest] = years(spec);
    let wrong = |message: String| Err(ServiceError::invalid("ages", message));
    match ages.len() {
        0 => return wrong(format!("is empty, but 1 to {MAX_AGES} ages in years are right")),
        n if n > MAX_AGES => return wrong(format!("has {n} ages, but 1 to {MAX_AGES} are right")),
        _ => {}
    }
    // A NaN is in no range.
    match ages.iter().enumerate().find(|(_, age)| !(least..=greatest).contains(age)) {
        Some((at, age)) => {
            wrong(format!("value {at} (counted from 0) is {age}, but {least} to {greatest} years is right"))
        }
        None => Ok(()),
    }
}

/// The picture of a face, which is refused where it is too far from one.
pub(crate) async fn face(job: &Job, image: Encoded, fit: Fit) -> Result<(Picture, Novelty), ServiceError> {
    let picture = job.picture(image, fit, "ager").await?;
    let inputs = vec![("image", TensorData::F32(picture.values.clone()))];
    let score = job.run("novelty", 1, inputs).await?.take("score")?.first().copied();
    let limit = job.model.manifest().novelty.map(|novelty| novelty.limit);
    let (Some(score), Some(limit)) = (score.filter(|score| score.is_finite()), limit) else {
        return Err(unfit(&job.model, "it cannot tell what is no face"));
    };
    if f64::from(score) > limit {
        let message = format!(
            "is too far from an aligned face: its novelty score is {score}, but {limit} at most is right; \
             crop one face seen from the front, eyes level, chin and hairline just within"
        );
        return Err(ServiceError::invalid("image", message));
    }
    Ok((picture, Novelty { score, limit }))
}

/// The face at each of these ages.
pub(crate) async fn aged(
    job: &Job,
    face: &Picture,
    ages: Vec<f32>,
) -> Result<Vec<api::AgedImage>, ServiceError> {
    let faces = TensorData::F32(face.values.repeat(ages.len()));
    let inputs = vec![("image", faces), ("age", TensorData::F32(ages.clone()))];
    let mut outputs = job.run("ager", ages.len(), inputs).await?;
    let images = job.images(job.pictures("ager", "aged", &mut outputs)?).await?;
    Ok(ages.into_iter().zip(images).map(|(age, image)| api::AgedImage { age, image: Some(image) }).collect())
}
