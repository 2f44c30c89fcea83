//! What an image is to show: its class and its age, where a model knows such.

use atelier_chassis::ServiceError;
use atelier_package::{Labels, Manifest, TensorSpec};
use atelier_proto::image::v1 as api;

/// The most characters of a wrong class that are repeated in the answer: as many as a label may have.
const SHOWN: usize = 64;

/// The classes and ages that a generator can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Knowledge {
    /// Of a generator that takes a class.
    pub(crate) labels: Option<Labels>,
    /// The least and the greatest age in years, of a generator that takes one.
    pub(crate) ages: Option<[f32; 2]>,
}

/// What a request asks for. What it leaves open is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wanted {
    /// The id of a class.
    pub(crate) class: Option<usize>,
    /// In years.
    pub(crate) age: Option<f32>,
}

impl Knowledge {
    /// What the generator of a package knows.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let input = |name| manifest.graph("generator").and_then(|graph| graph.input(name));
        Self { labels: input("class").and(manifest.labels.clone()), ages: input("age").map(years) }
    }

    /// Checks the class and age of a request, which are the fields `class` and `age` of `path` (empty, or
    /// ending in a dot).
    pub(crate) fn wanted(&self, path: &str, class: &str, age: Option<f32>) -> Result<Wanted, ServiceError> {
        Ok(Wanted {
            class: if class.is_empty() { None } else { Some(self.class(path, class)?) },
            age: age.map(|age| self.age(path, age)).transpose()?,
        })
    }

    fn class(&self, path: &str, class: &str) -> Result<usize, ServiceError> {
        let shown: String = class.chars().take(SHOWN).collect();
        let Some(labels) = &self.labels else {
            let message = format!("is {shown:?}, but this model knows no classes: leave it out");
            return Err(ServiceError::invalid(format!("{path}class"), message));
        };
        labels.find(class).ok_or_else(|| {
            let known = labels.names.iter().enumerate().map(|(id, name)| format!("{name} ({id})"));
            ServiceError::not_found("class", shown, known)
        })
    }

    fn age(&self, path: &str, age: f32) -> Result<f32, ServiceError> {
        let field = || format!("{path}age");
        let Some([least, greatest]) = self.ages else {
            let message = format!("is {age}, but this model knows no ages: leave it out");
            return Err(ServiceError::invalid(field(), message));
        };
        // A NaN is in no range.
        match (least..=greatest).contains(&age) {
            true => Ok(age),
            false => {
                let message = format!("is {age}, but {least} to {greatest} years is right");
                Err(ServiceError::invalid(field(), message))
            }
        }
    }

    /// What a response says of an image of this class and age.
    pub(crate) fn condition(&self, class: Option<usize>, age: Option<f32>) -> api::Condition {
        let name = |id: usize| self.labels.as_ref().and_then(|labels| labels.names.get(id)).cloned();
        api::Condition {
            class_name: class.and_then(name).unwrap_or_default(),
            // At most 1000 of them.
            class_id: class.and_then(|id| u32::try_from(id).ok()),
            age,
        }
    }
}

/// The range of an input of ages; packages without one are not opened.
pub(crate) fn years(spec: &TensorSpec) -> [f32; 2] {
    spec.range.map_or([0.0, 0.0], |[least, greatest]| [least as f32, greatest as f32])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowledge() -> Knowledge {
        let names = ["T-shirt", "Ankle boot"].map(str::to_owned).to_vec();
        Knowledge { labels: Some(Labels { names }), ages: Some([0.0, 90.0]) }
    }

    fn said(knowledge: &Knowledge, class: &str, age: Option<f32>) -> String {
        knowledge.wanted("start.", class, age).unwrap_err().to_string()
    }

    #[test]
    fn a_class_is_taken_by_name_and_id_and_an_age_within_its_range() {
        let wanted = |class, age| knowledge().wanted("", class, age).unwrap();
        assert_eq!(wanted("ankle BOOT", Some(90.0)), Wanted { class: Some(1), age: Some(90.0) });
        assert_eq!(wanted("0", None), Wanted { class: Some(0), age: None });
        assert_eq!(wanted("", None), Wanted::default());
        let condition = knowledge().condition(Some(1), None);
        assert_eq!((condition.class_name.as_str(), condition.class_id), ("Ankle boot", Some(1)));
    }

    #[test]
    fn what_the_model_does_not_know_is_said_with_what_it_does() {
        let long = "x".repeat(10_000);
        assert!(said(&knowledge(), &long, None).len() < 200);
        let unknown = said(&knowledge(), "boot", None);
        assert_eq!(unknown, "no class \"boot\"; there is: T-shirt (0), Ankle boot (1)");
        for age in [-1.0, 90.5, f32::NAN, f32::INFINITY] {
            let said = said(&knowledge(), "", Some(age));
            assert_eq!(said, format!("start.age: is {age}, but 0 to 90 years is right"));
        }
        let nothing = Knowledge { labels: None, ages: None };
        assert!(
            said(&nothing, "boot", None).starts_with("start.class: is \"boot\", but this model knows no")
        );
        assert!(said(&nothing, "", Some(4.0)).starts_with("start.age: is 4, but this model knows no ages"));
    }
}
