//! Which model: `NAME` or `NAME@VERSION`.

use std::fmt;
use std::str::FromStr;

use atelier_proto::models::v1::ModelVersion;

/// A model and a version of it, as the requests of the API name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelArg {
    /// Empty: the default of the kind.
    pub(crate) name: String,
    /// 0: the newest.
    pub(crate) version: u32,
}

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            None => (text, 0),
            Some((name, version)) => {
                let number = version.parse().ok().filter(|v| *v > 0).ok_or_else(|| {
                    format!("version {version:?} must be a number from 1, as in fashion-dae@1")
                })?;
                (name, number)
            }
        };
        if name.is_empty() {
            return Err("must be NAME or NAME@VERSION, as in fashion-dae@1".into());
        }
        Ok(Self { name: name.to_owned(), version })
    }
}

/// The `--model` of every command that has a model answer.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    /// The model, and which version of it [default: the server's default for the task, newest version]
    #[arg(long, short, value_name = "NAME[@VERSION]")]
    model: Option<ModelArg>,
}

impl ModelArgs {
    /// For the `model` and `version` of a request.
    pub(crate) fn split(&self) -> (String, u32) {
        let ModelArg { name, version } = self.model.clone().unwrap_or_default();
        (name, version)
    }
}

/// The model that answered, for people.
pub(crate) struct Answered<'a>(pub(crate) Option<&'a ModelVersion>);

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(model) => write!(f, "{}@{}", model.name, model.version),
            None => f.write_str("unnamed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_come_with_its_version() {
        let arg = |text: &str| text.parse::<ModelArg>().map(|m| (m.name, m.version));
        assert_eq!(arg("fashion-dae"), Ok(("fashion-dae".into(), 0)));
        assert_eq!(arg("fashion-dae@12"), Ok(("fashion-dae".into(), 12)));
        for bad in ["", "@1", "a@", "a@0", "a@x", "a@-1"] {
            assert!(arg(bad).is_err(), "{bad:?}");
        }
    }
}
