//! Layered, strict configuration: file < environment < flags.
//!
//! A configuration is a struct with `#[serde(default, deny_unknown_fields)]`, every field with a default.
//! Each layer is checked on its own first, so that an error names the file, the variable or the flag that
//! is to blame.
//!
//! ```
//! use atelier_chassis::config::Layers;
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config { port: u16, telemetry: atelier_chassis::telemetry::TelemetryConfig }
//!
//! let mut layers = Layers::<Config>::new();
//! layers.environment([("ATELIER_TELEMETRY__FORMAT".into(), "json".into())])?;
//! layers.flag("port", 8080)?;
//! let config = layers.build()?;
//! assert_eq!(config.port, 8080);
//! # Ok::<(), atelier_chassis::config::ConfigError>(())
//! ```

mod environment;
mod secret;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use environment::PREFIX;
pub use secret::Secret;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file, a variable or a flag does not fit.
    #[error("{origin}: {message}")]
    Invalid {
        /// The file, the variable or the flag.
        origin: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// The layers of a configuration, each over those before.
#[derive(Debug, Clone)]
pub struct Layers<T> {
    merged: Table,
    shape: Table,
    config: PhantomData<T>,
}

impl<T: DeserializeOwned + Serialize + Default> Default for Layers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: DeserializeOwned + Serialize + Default> Layers<T> {
    /// The defaults alone.
    pub fn new() -> Self {
        // Where the defaults are no TOML, variables are merely read without knowing their types.
        let shape = Table::try_from(T::default()).unwrap_or_default();
        Self { merged: Table::new(), shape, config: PhantomData }
    }

    /// Lays a TOML file over what there is.
    pub fn file(&mut self, path: &Path) -> Result<&mut Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let origin = path.display().to_string();
        let invalid = |error: toml::de::Error| ConfigError::Invalid {
            origin: origin.clone(),
            // Shows the line at fault.
            message: error.to_string().trim_end().to_owned(),
        };
        toml::from_str::<T>(&text).map_err(invalid)?;
        let layer = toml::from_str::<Table>(&text).map_err(invalid)?;
        merge(&mut self.merged, layer);
        Ok(self)
    }

    /// Lays the variables `ATELIER_...` over what there is; `ATELIER_SERVER__MAX_CONNECTIONS` is
    /// `max_connections` of `[server]`. Others are left alone, and so are those that Kubernetes makes
    /// for services.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<&mut Self, ConfigError> {
        for (name, text) in variables {
            let Some(path) = environment::path(&name, &text) else { continue };
            let value = environment::value(&self.shape, &path, &text);
            self.set(&path, value, &format!("environment variable {name}"))?;
        }
        Ok(self)
    }

    /// Lays one value over what there is; `server.max_connections` is the path of a field.
    pub fn flag(&mut self, path: &str, value: impl Into<Value>) -> Result<&mut Self, ConfigError> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let origin = format!("flag for {}", path.join("."));
        self.set(&path, value.into(), &origin)
    }

    /// The configuration.
    pub fn build(&self) -> Result<T, ConfigError> {
        check(&self.merged, "configuration")
    }

    fn set(&mut self, path: &[String], value: Value, origin: &str) -> Result<&mut Self, ConfigError> {
        let nested = path.iter().rev().fold(value, |value, key| {
            let mut table = Table::new();
            table.insert(key.clone(), value);
            Value::Table(table)
        });
        let Value::Table(layer) = nested else {
            return Err(ConfigError::Invalid { origin: origin.to_owned(), message: "names no field".into() });
        };
        check::<T>(&layer, origin)?;
        merge(&mut self.merged, layer);
        Ok(self)
    }
}

/// A configuration as TOML, as `--print-config` shows it: every field, secrets withheld.
pub fn print_config<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(|error| ConfigError::Invalid {
        origin: "configuration".into(),
        message: format!("cannot be written as TOML: {error}"),
    })
}

fn check<T: DeserializeOwned>(layer: &Table, origin: &str) -> Result<T, ConfigError> {
    layer.clone().try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
        origin: origin.to_owned(),
        // Without a source text the error's display is one line and the path of the field.
        message: error.to_string().trim_end().replace('\n', " "),
    })
}

/// Lays `over` over `under`, table by table; anything else, lists included, is replaced.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
