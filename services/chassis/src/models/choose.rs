//! Which of several models a request means.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use atelier_engine::Model;
use atelier_package::Kind;

use crate::ServiceError;

/// What the choice is made by.
pub(super) trait Candidate {
    /// The model's name.
    fn name(&self) -> &str;
    /// Its version.
    fn version(&self) -> u32;
    /// What it can do.
    fn kind(&self) -> Kind;
}

impl Candidate for Arc<Model> {
    fn name(&self) -> &str {
        Model::name(self).as_str()
    }

    fn version(&self) -> u32 {
        Model::version(self).get()
    }

    fn kind(&self) -> Kind {
        Model::kind(self)
    }
}

/// See [`resolve`](super::resolve).
pub(super) fn choose<'a, M: Candidate>(
    models: &'a [M],
    name: &str,
    version: u32,
    kinds: &[Kind],
) -> Result<&'a M, ServiceError> {
    if name.is_empty() {
        return default(models, version, kinds);
    }
    let named = || models.iter().filter(|model| model.name() == name);
    let fits = |model: &&M| version == 0 || model.version() == version;
    let Some(model) = named().filter(fits).max_by_key(|model| model.version()) else {
        return Err(match named().count() {
            0 => ServiceError::not_found("model", shorten(name), names(models, kinds)),
            _ => {
                let versions = named().map(|model| model.version()).collect::<BTreeSet<u32>>();
                let wanted = format!("{}/{version}", shorten(name));
                ServiceError::not_found("version", wanted, versions.iter().map(ToString::to_string))
            }
        });
    };
    if kinds.contains(&model.kind()) {
        return Ok(model);
    }
    let known = names(models, kinds);
    let known =
        if known.is_empty() { "there is none".to_owned() } else { format!("there is: {}", known.join(", ")) };
    let message = format!(
        "is {name}, of kind {}, but this method needs a model of kind {}; {known}",
        model.kind(),
        any_of(kinds)
    );
    Err(ServiceError::invalid("model", message))
}

fn default<'a, M: Candidate>(models: &'a [M], version: u32, kinds: &[Kind]) -> Result<&'a M, ServiceError> {
    let of_kind = |kind: Kind| models.iter().filter(move |model| model.kind() == kind);
    // The default is a model, not a version: asking for a version of it must not lead to another model.
    let first = kinds.iter().find_map(|kind| of_kind(*kind).min_by_key(|m| (m.name(), Reverse(m.version()))));
    match first {
        Some(first) if version == 0 => Ok(first),
        Some(first) => choose(models, first.name(), version, kinds),
        None => {
            Err(ServiceError::not_found("model", format!("of kind {}", any_of(kinds)), names(models, &[])))
        }
    }
}

/// Whether a request of this model's kind that names neither model nor version is answered by it.
pub(super) fn is_default<M: Candidate>(models: &[M], model: &M) -> bool {
    let same = |other: &M| other.name() == model.name() && other.version() == model.version();
    default(models, 0, &[model.kind()]).is_ok_and(same)
}

/// The names of the models of these kinds (none: of any), each once, in order.
fn names<M: Candidate>(models: &[M], kinds: &[Kind]) -> Vec<String> {
    let fits = |model: &&M| kinds.is_empty() || kinds.contains(&model.kind());
    let names: BTreeSet<&str> = models.iter().filter(fits).map(Candidate::name).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn any_of(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ")
}

/// A name is at most 64 characters long; what is longer is none, and need not be repeated in full.
fn shorten(name: &str) -> String {
    match name.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    struct Entry(&'static str, u32, Kind);

    impl Candidate for Entry {
        fn name(&self) -> &str {
            self.0
        }

        fn version(&self) -> u32 {
            self.1
        }

        fn kind(&self) -> Kind {
            self.2
        }
    }

    const VAE: Kind = Kind::VariationalAutoencoder;
    const AE: Kind = Kind::Autoencoder;
    const DAE: Kind = Kind::DenoisingAutoencoder;

    const MODELS: [Entry; 6] = [
        Entry("shoes", 1, VAE),
        Entry("bags", 1, VAE),
        Entry("bags", 3, VAE),
        Entry("bags", 2, VAE),
        Entry("a-plain", 9, AE),
        Entry("clean", 1, DAE),
    ];

    fn chosen(name: &str, version: u32, kinds: &[Kind]) -> Result<(&'static str, u32), ServiceError> {
        choose(&MODELS, name, version, kinds).map(|entry| (entry.0, entry.1))
    }

    #[test]
    fn without_a_version_the_newest_is_meant() {
        assert_eq!(chosen("bags", 0, &[VAE]), Ok(("bags", 3)));
        assert_eq!(chosen("bags", 1, &[VAE]), Ok(("bags", 1)));
    }

    #[test]
    fn without_a_name_the_first_of_the_first_kind_is_meant_whatever_the_version() {
        assert_eq!(chosen("", 0, &[VAE, AE]), Ok(("bags", 3)));
        assert_eq!(chosen("", 0, &[AE, VAE]), Ok(("a-plain", 9)));
        assert_eq!(chosen("", 2, &[VAE, AE]), Ok(("bags", 2)));
        // No other model is taken because it has that version.
        assert_eq!(chosen("", 9, &[VAE, AE]).unwrap_err().code(), Code::NotFound);
        assert_eq!(chosen("", 0, &[Kind::Gan, AE]), Ok(("a-plain", 9)));
    }

    #[test]
    fn an_unknown_name_or_version_is_not_found_and_comes_with_those_that_would_do() {
        let error = chosen("hats", 0, &[VAE]).unwrap_err();
        assert_eq!(error, ServiceError::not_found("model", "hats", ["bags", "shoes"]));
        let error = chosen("bags", 7, &[VAE]).unwrap_err();
        assert_eq!(error, ServiceError::not_found("version", "bags/7", ["1", "2", "3"]));
        let error = chosen("", 0, &[Kind::CharRnn]).unwrap_err();
        assert_eq!(error.to_string(), "no model \"of kind char-rnn\"; there is: a-plain, bags, clean, shoes");
        let error = chosen(&"x".repeat(1000), 0, &[VAE]).unwrap_err();
        assert!(error.to_string().len() < 120, "{error}");
    }

    #[test]
    fn a_model_of_another_kind_is_refused_with_what_each_can_do() {
        let error = chosen("clean", 0, &[VAE, AE]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(
            error.to_string(),
            "model: is clean, of kind denoising-autoencoder, but this method needs a model of kind \
             variational-autoencoder or autoencoder; there is: a-plain, bags, shoes"
        );
    }

    #[test]
    fn there_is_one_default_of_each_kind() {
        let defaults: Vec<_> =
            MODELS.iter().filter(|m| is_default(&MODELS, *m)).map(|m| (m.0, m.1)).collect();
        assert_eq!(defaults, [("bags", 3), ("a-plain", 9), ("clean", 1)]);
    }
}
