//! `[labels]`: the classes that a model knows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::name::shorten;

/// The most classes that a model can have.
const MOST: usize = 1000;

/// The names of classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// In the order of the class ids, from 0: 1 to 1000, each of 1 to 64 printable characters, none twice
    /// (however its letters are cased) and none a number, so that whoever names a class names one, and a
    /// number can be told from a name.
    pub names: Vec<String>,
}

impl Labels {
    /// The class that is meant by `wanted`: a name, however its letters are cased, or an id.
    pub fn find(&self, wanted: &str) -> Option<usize> {
        let named = self.names.iter().position(|name| name.to_lowercase() == wanted.to_lowercase());
        named.or_else(|| wanted.parse().ok().filter(|id| *id < self.names.len()))
    }

    /// The names with their ids, as one would list them for people: `0 t-shirt, 1 trouser`.
    pub fn listed(&self) -> String {
        let entries = self.names.iter().enumerate().map(|(id, name)| format!("{id} {name}"));
        entries.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn validate(&self) -> Result<(), FieldError> {
        if self.names.is_empty() || self.names.len() > MOST {
            return Err(FieldError::new("labels.names", format!("there must be 1 to {MOST}")));
        }
        let mut seen = BTreeSet::new();
        for name in &self.names {
            let wrong =
                |why: &str| Err(FieldError::new("labels.names", format!("`{}` {why}", shorten(name))));
            let printable = name.chars().all(|c| !c.is_control()) && name.trim() == name;
            if !printable || !(1..=64).contains(&name.chars().count()) {
                return wrong("is no label: 1 to 64 printable characters are, without spaces around them");
            }
            if name.parse::<f64>().is_ok() {
                return wrong("is a number, which would be taken for an id");
            }
            if !seen.insert(name.to_lowercase()) {
                return wrong("is there twice");
            }
        }
        Ok(())
    }

    /// Whether a tensor takes just the ids of these classes.
    pub(super) fn check_ids(&self, at: &str, range: Option<[f64; 2]>) -> Result<(), FieldError> {
        let last = self.names.len().saturating_sub(1);
        // Both are whole and small.
        if range == Some([0.0, last as f64]) {
            return Ok(());
        }
        let message = format!("must be [0, {last}], the ids of the {} names of [labels]", self.names.len());
        Err(FieldError::new(format!("{at}.range"), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        Labels { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_class_is_found_by_name_and_by_id() {
        let labels = labels(&["T-shirt", "ankle boot"]);
        for (wanted, class) in [("t-SHIRT", 0), ("Ankle Boot", 1), ("0", 0), ("1", 1)] {
            assert_eq!(labels.find(wanted), Some(class), "{wanted}");
        }
        for wanted in ["", "2", "-1", "1.0", "boot", " 1"] {
            assert_eq!(labels.find(wanted), None, "{wanted}");
        }
        assert_eq!(labels.listed(), "0 T-shirt, 1 ankle boot");
    }

    #[test]
    fn labels_that_could_be_mistaken_for_each_other_are_refused() {
        labels(&["dress", "coat"]).validate().unwrap();
        for (names, wrong) in [
            (&[][..], "there must be 1 to 1000"),
            (&["dress", "Dress"], "`Dress` is there twice"),
            (&["7"], "`7` is a number"),
            (&["1e3"], "`1e3` is a number"),
            (&[""], "is no label"),
            (&["two\nlines"], "is no label"),
            (&[" coat"], "is no label"),
        ] {
            let said = labels(names).validate().unwrap_err().to_string();
            assert!(said.starts_with("labels.names: ") && said.contains(wrong), "{said}");
        }
    }
}
