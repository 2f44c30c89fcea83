//! Names and versions of packages.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name or version is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a package name.
    #[error(
        "`{0}` is no package name: 1 to 64 of a-z, 0-9 and '-' are, beginning and ending with a letter or digit"
    )]
    Name(String),
    /// Not a version.
    #[error("`{0}` is no version: an integer from 1 to 4294967295, without leading zeros, is")]
    Version(String),
}

/// The name of a model: 1 to 64 of `a-z`, `0-9` and `-`, neither first nor last a `-`.
///
/// It names a directory, so what could walk out of one cannot be written in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

impl PackageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::try_from(s.to_owned())
    }
}

impl TryFrom<String> for PackageName {
    type Error = NameError;

    fn try_from(s: String) -> Result<Self, NameError> {
        let plain = s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = !s.starts_with('-') && !s.ends_with('-');
        if plain && ends && (1..=64).contains(&s.len()) {
            Ok(Self(s))
        } else {
            Err(NameError::Name(shorten(&s)))
        }
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for PackageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The version of a model: an integer from 1, as in Triton and TensorFlow Serving. Newer is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(NonZeroU32);

impl Version {
    /// The version `number`, or `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        // Only the form that `Display` writes: `01` and `+1` would give one version two directories.
        let canonical = s.bytes().all(|b| b.is_ascii_digit()) && !s.starts_with('0');
        match s.parse() {
            Ok(number) if canonical => Ok(Self(number)),
            _ => Err(NameError::Version(shorten(s))),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keeps hostile text out of logs: printable, and not long.
pub(crate) fn shorten(s: &str) -> String {
    let mut out: String = s.chars().take(80).flat_map(char::escape_debug).collect();
    if s.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "A", "a_b", "-a", "a-", "a\0", "é", "a b"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad:?} was accepted");
        }
        assert!("a".repeat(65).parse::<PackageName>().is_err());
        assert!("a".repeat(64).parse::<PackageName>().is_ok());
        assert_eq!("fashion-dae".parse::<PackageName>().unwrap().as_str(), "fashion-dae");
    }

    #[test]
    fn a_version_has_one_spelling() {
        for bad in ["", "0", "01", "+1", "-1", "1.0", "4294967296", " 1", "one"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!("12".parse::<Version>().unwrap().to_string(), "12");
    }

    proptest! {
        #[test]
        fn every_accepted_name_is_a_single_path_component(s in "\\PC{0,70}") {
            if let Ok(name) = s.parse::<PackageName>() {
                let mut parts = std::path::Path::new(name.as_str()).components();
                prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
                prop_assert!(parts.next().is_none());
            }
        }
    }
}
