//! `atelier keys`.

use std::io::{Write, stderr};

use clap::Subcommand;
use sha2::{Digest, Sha256};

use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

/// API keys for callers of the gateway.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    New(New),
}

/// Make a key: shown this once on stderr, for the caller, and on stdout its entry for the gateway's file of keys.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct New {
    /// What logs, metrics and errors call its holder
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// How many requests a second its holder may make [default: any number]
    #[arg(long, value_name = "R", value_parser = number)]
    rate: Option<f64>,
    /// How many of them at once [default: those of a second, at least 1]
    #[arg(long, value_name = "B", value_parser = number, requires = "rate")]
    burst: Option<f64>,
    /// A service that its holder may call, atelier.text.v1.TextService; may be given again [default: all]
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,
}

fn name(text: &str) -> Result<String, String> {
    let right = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    right.then(|| text.to_owned()).ok_or_else(|| "must be 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.'".into())
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number),
        _ => Err("must be a number over 0, and 1e9 at most".into()),
    }
}

/// Runs a command on keys.
///
/// # Errors
/// Where stderr or stdout cannot be written to.
pub(crate) fn run(command: &KeysCommand) -> Result<(), Failure> {
    let KeysCommand::New(new) = command;
    let key = format!("atelier_{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    // Apart from the entry, which is meant to be appended to a file: the key must not get there. And before it: an
    // entry of a key that nobody has seen is of no use.
    let said = "The key, for its holder alone: it is written nowhere and cannot be shown again.";
    writeln!(stderr(), "{said}\n{key}")
        .map_err(|e| Failure::new(Exit::Other, format!("cannot write the key to stderr: {e}")))?;
    stdout::text(&new.entry(&key))
}

impl New {
    /// `[[key]]` of the gateway's file.
    fn entry(&self, key: &str) -> String {
        let hash = hex::encode(Sha256::digest(key.as_bytes()));
        let mut entry = format!("[[key]]\nname = \"{}\"\nsha256 = \"{hash}\"\n", self.name);
        for (field, value) in [("requests_per_second", self.rate), ("burst", self.burst)] {
            if let Some(value) = value {
                entry.push_str(&format!("{field} = {value:?}\n"));
            }
        }
        if !self.service.is_empty() {
            entry.push_str(&format!("services = {:?}\n", self.service));
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_is_toml_with_the_hash_and_without_the_key() {
        let new = New {
            name: "web".into(),
            rate: Some(5.0),
            burst: None,
            service: vec!["atelier.text.v1.TextService".into()],
        };
        let entry = new.entry("abc");
        assert!(!entry.contains("abc\""));
        let table: toml::Table = entry.parse().unwrap();
        let key = &table["key"][0];
        assert_eq!(
            key["sha256"].as_str(),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!(key["requests_per_second"].as_float(), Some(5.0));
        assert_eq!(key["services"][0].as_str(), Some("atelier.text.v1.TextService"));
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        for wrong in ["", "a\"b", "a b", "ä", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
