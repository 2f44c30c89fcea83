//! What words are to sound like, from a model that plans them before it says them.

use std::time::Instant;

use atelier_chassis::ServiceError;
use atelier_chassis::models::graph::run;
use atelier_engine::{Model, TensorData};
use atelier_package::{Audio, Dim};
use atelier_transforms::speech::Plan;

use crate::speak::condition;
use crate::utterance::Utterance;

/// The graph that plans.
const PLANNER: &str = "planner";

/// How a model plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planner {
    /// Random numbers that a plan is made from.
    noise: usize,
    /// Numbers of each of its moments.
    pub(crate) bands: usize,
}

impl Planner {
    /// That of a model; none where it has no graph for it.
    pub(crate) fn of(model: &Model) -> Result<Option<Self>, ServiceError> {
        let Some(graph) = model.manifest().graph(PLANNER) else { return Ok(None) };
        let last = |spec: Option<&atelier_package::TensorSpec>| match spec?.shape.last() {
            Some(Dim::Fixed(n)) => Some(*n),
            _ => None,
        };
        let (noise, bands) = (last(graph.input("noise")), last(graph.output("plan")));
        // The package was checked.
        let odd = || ServiceError::internal(format!("model {} has an odd planner", model.name()));
        let planner = noise.zip(bands).map(|(noise, bands)| Self { noise, bands });
        planner.map(Some).ok_or_else(odd)
    }

    /// The plans of all words of an utterance, and how much they are to differ from the most usual ones.
    pub(crate) async fn plan(
        self,
        model: &Model,
        audio: &Audio,
        (utterance, variation): (&Utterance, f32),
        deadline: Option<Instant>,
    ) -> Result<Vec<Plan>, ServiceError> {
        let condition = condition(audio);
        let rows = utterance.words.len();
        let words: Vec<f32> =
            utterance.words.iter().flat_map(|word| condition.word(word.said, word.samples)).collect();
        let noise = (0..rows).flat_map(|place| utterance.plan_noise(place, self.noise));
        let noise: Vec<f32> = noise.map(|z| variation * z).collect();
        let inputs = vec![("word", TensorData::F32(words)), ("noise", TensorData::F32(noise))];
        let values = run(model, PLANNER, rows, inputs, deadline).await?.take("plan")?;
        if values.iter().any(|x| !x.is_finite()) {
            let message = format!("model {} planned what is no number", model.name());
            return Err(ServiceError::internal(message));
        }
        let each = values.len() / rows.max(1);
        Ok(values.chunks_exact(each.max(1)).map(|values| Plan::new(self.bands, values.to_vec())).collect())
    }
}
