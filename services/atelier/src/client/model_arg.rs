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

impl ModelArg {
    /// What both say: what one leaves open is as the other says. `None` where they contradict each other.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        if self.name.is_empty() || other.name.is_empty() {
            return Some(if self.name.is_empty() { other } else { self }.clone());
        }
        let versions = [self.version, other.version];
        let agree = self.name == other.name && (versions.contains(&0) || self.version == other.version);
        agree.then(|| Self { name: self.name.clone(), version: self.version.max(other.version) })
    }
}

impl fmt::Display for ModelArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            0 => f.write_str(&self.name),
            version => write!(f, "{}@{version}", self.name),
        }
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
    /// What was asked for; the default where nothing was.
    pub(crate) fn arg(&self) -> ModelArg {
        self.model.clone().unwrap_or_default()
    }

    /// For the `model` and `version` of a request.
    pub(crate) fn split(&self) -> (String, u32) {
        let ModelArg { name, version } = self.arg();
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

    #[test]
    fn two_that_say_a_model_agree_or_contradict_each_other() {
        let arg = |text: &str| text.parse::<ModelArg>().unwrap_or_default();
        let and = |one: &str, other: &str| {
            let [both, turned] = [(one, other), (other, one)].map(|(one, other)| arg(one).and(&arg(other)));
            assert_eq!(both, turned);
            both.map(|model| model.to_string())
        };
        assert_eq!(and("", ""), Some(String::new()));
        assert_eq!(and("", "a@2"), Some("a@2".into()));
        assert_eq!(and("a", "a@2"), Some("a@2".into()));
        assert_eq!(and("a@2", "a@2"), Some("a@2".into()));
        assert_eq!(and("a@1", "a@2"), None);
        assert_eq!(and("a", "b"), None);
    }
}
