//! What images are made from: latent codes, and what is left open of class and age.

use atelier_chassis::ServiceError;
use atelier_chassis::field::number;
use atelier_chassis::models::graph::{shape, unfit};
use atelier_engine::TensorData;
use atelier_engine::seed::Noise;
use atelier_picture::Picture;

use crate::condition::{Knowledge, Wanted};
use crate::job::Job;

/// What one image is made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latent {
    /// The latent code.
    pub(crate) z: Vec<f32>,
    /// The id of the class, where the generator takes one.
    pub(crate) class: Option<usize>,
    /// In years, where the generator takes an age.
    pub(crate) age: Option<f32>,
}

/// What a generator makes images from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Space {
    pub(crate) knowledge: Knowledge,
    /// How many numbers a latent code has.
    length: usize,
}

impl Space {
    /// That of the job's generator.
    pub(crate) fn of(job: &Job) -> Result<Self, ServiceError> {
        let spec = job.input("generator", "z").ok_or_else(|| unfit(&job.model, "it has no generator"))?;
        Ok(Self { knowledge: Knowledge::of(job.model.manifest()), length: shape(spec, 1).iter().product() })
    }

    /// What image `index` of `seed` is made from: always the same. Numbers beyond `truncation` are drawn again
    /// and the others kept, so that a truncated image is a more typical one of the same image.
    pub(crate) fn draw(&self, seed: u64, index: u32, wanted: Wanted, truncation: Option<f32>) -> Latent {
        let mut noise = Noise::new(seed, index.into());
        // Drawn whether they are needed or not: the code must not depend on what was asked.
        let (class, age) = (noise.unit(), noise.unit());
        let mut z: Vec<f32> = (0..self.length).map(|_| noise.normal()).collect();
        if let Some(limit) = truncation {
            for value in &mut z {
                while value.abs() > limit {
                    *value = noise.normal();
                }
            }
        }
        let classes = self.knowledge.labels.as_ref().map(|labels| labels.names.len());
        // Below `n`: what is drawn is below 1, and `n` is small.
        let class = classes.map(|n| wanted.class.unwrap_or((class * n as f64) as usize));
        let between = |[least, greatest]: [f32; 2]| least + (greatest - least) * age as f32;
        let age = self.knowledge.ages.map(|range| wanted.age.unwrap_or_else(|| between(range)));
        Latent { z, class, age }
    }

    /// The pictures that the generator makes of these.
    pub(crate) async fn pictures(&self, job: &Job, latents: &[Latent]) -> Result<Vec<Picture>, ServiceError> {
        let z = latents.iter().flat_map(|latent| &latent.z).copied().collect();
        let mut inputs = vec![("z", TensorData::F32(z))];
        if self.knowledge.labels.is_some() {
            let class =
                |latent: &Latent| latent.class.and_then(|id| i64::try_from(id).ok()).unwrap_or_default();
            inputs.push(("class", TensorData::I64(latents.iter().map(class).collect())));
        }
        if self.knowledge.ages.is_some() {
            let age = |latent: &Latent| latent.age.unwrap_or_default();
            inputs.push(("age", TensorData::F32(latents.iter().map(age).collect())));
        }
        let mut outputs = job.run("generator", latents.len(), inputs).await?;
        job.pictures("generator", "image", &mut outputs)
    }
}

/// The truncation of a request.
pub(crate) fn truncation(value: Option<f32>) -> Result<Option<f32>, ServiceError> {
    value.map(|value| number("truncation", Some(value), value, 0.1..=4.0)).transpose()
}

#[cfg(test)]
mod tests {
    use atelier_package::Labels;

    use super::*;

    fn space() -> Space {
        let names = (0..10).map(|n| format!("class {n}")).collect();
        Space {
            knowledge: Knowledge { labels: Some(Labels { names }), ages: Some([20.0, 60.0]) },
            length: 64,
        }
    }

    #[test]
    fn what_is_asked_for_does_not_change_what_is_drawn() {
        let space = space();
        let open = space.draw(7, 3, Wanted::default(), None);
        let asked = space.draw(7, 3, Wanted { class: Some(4), age: Some(33.0) }, None);
        assert_eq!((asked.class, asked.age), (Some(4), Some(33.0)));
        assert_eq!(open.z, asked.z);
        let plain = Space { knowledge: Knowledge { labels: None, ages: None }, ..space };
        assert_eq!(plain.draw(7, 3, Wanted::default(), None), Latent { z: open.z, class: None, age: None });
    }

    #[test]
    fn classes_and_ages_are_drawn_evenly_and_differ_between_indices() {
        let drawn: Vec<Latent> = (0..2000).map(|i| space().draw(1, i, Wanted::default(), None)).collect();
        let mut counts = [0; 10];
        drawn.iter().for_each(|latent| counts[latent.class.unwrap()] += 1);
        // Four standard deviations of a count of 200.
        assert!(counts.iter().all(|n| (146..=254).contains(n)), "{counts:?}");
        let ages: Vec<f32> = drawn.iter().map(|latent| latent.age.unwrap()).collect();
        assert!(ages.iter().all(|age| (20.0..60.0).contains(age)));
        assert!((ages.iter().sum::<f32>() / 2000.0 - 40.0).abs() < 1.1);
        assert_ne!(drawn[0].z, drawn[1].z);
    }

    #[test]
    fn truncation_draws_again_what_is_beyond_it_and_keeps_the_rest() {
        let whole = space().draw(5, 0, Wanted::default(), None);
        for limit in [0.1, 0.7, 2.0] {
            let cut = space().draw(5, 0, Wanted::default(), Some(limit));
            assert!(cut.z.iter().all(|value| value.abs() <= limit), "{:?}", cut.z);
            for (whole, cut) in whole.z.iter().zip(&cut.z) {
                assert!(whole == cut || whole.abs() > limit);
            }
            assert_eq!((cut.class, cut.age), (whole.class, whole.age));
        }
        assert!(truncation(Some(0.05)).is_err() && truncation(Some(f32::NAN)).is_err());
        assert_eq!((truncation(None).unwrap(), truncation(Some(4.0)).unwrap()), (None, Some(4.0)));
    }
}
