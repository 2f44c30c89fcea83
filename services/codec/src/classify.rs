//! Which class the thing in an image is of.

use atelier_chassis::models::{graph::unfit, model_version};
use atelier_chassis::{ServiceError, field};
use atelier_picture::{Encoded, message};
use atelier_proto::codec::v1 as api;

use crate::codec::Job;

/// The graph that tells classes.
pub(crate) const GRAPH: &str = "classifier";
/// Guesses where a request does not say how many.
const TOP: u32 = 3;

/// Answers a request.
pub(crate) async fn classify(
    job: &Job,
    request: api::ClassifyRequest,
) -> Result<api::ClassifyResponse, ServiceError> {
    let labels = job.model.manifest().labels.as_ref();
    let labels = &labels.ok_or_else(|| unfit(&job.model, "it has no [labels]"))?.names;
    // At most 1000 by the package format.
    let classes = labels.len() as u32;
    let top = field::number("top", request.top, TOP.min(classes), 1..=classes)?;
    let fit = message::fit(request.fit)?;
    let image = Encoded::new("image", request.image)?;
    let picture = job.picture(image, fit, GRAPH).await?;
    let logits = job.run(GRAPH, 1, vec![("image", picture.values)]).await?.take("logits")?;
    job.finite("logits", &logits)?;
    let guess = |(class, probability): (usize, f32)| api::Guess {
        class_id: class as u32,
        label: labels.get(class).cloned().unwrap_or_default(),
        probability,
    };
    Ok(api::ClassifyResponse {
        model: Some(model_version(&job.model)),
        guesses: likeliest(&logits).into_iter().take(top as usize).map(guess).collect(),
    })
}

/// Classes and their chances, the likeliest first.
fn likeliest(logits: &[f32]) -> Vec<(usize, f32)> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - greatest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut chances: Vec<(usize, f32)> =
        weights.into_iter().map(|weight| (weight / sum) as f32).enumerate().collect();
    // Stable: equal chances stay in the order of their classes.
    chances.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_ordered_and_add_up_to_one_however_large_the_logits() {
        for offset in [0.0, 90.0, -90.0] {
            let chances = likeliest(&[1.0_f32.ln() + offset, 4.0_f32.ln() + offset, 3.0_f32.ln() + offset]);
            let order: Vec<usize> = chances.iter().map(|(class, _)| *class).collect();
            assert_eq!(order, [1, 2, 0]);
            for ((_, chance), right) in chances.iter().zip([0.5, 0.375, 0.125]) {
                assert!((chance - right).abs() < 1e-4, "{chances:?}");
            }
        }
    }

    #[test]
    fn equal_chances_stay_in_the_order_of_their_classes() {
        let order: Vec<usize> =
            likeliest(&[0.0, 1.0, 0.0, 1.0]).into_iter().map(|(class, _)| class).collect();
        assert_eq!(order, [1, 3, 0, 2]);
    }
}
