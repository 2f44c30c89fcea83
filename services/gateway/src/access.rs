//! API keys: who may call what, and how often.
//!
//! Without a file of keys everybody may call everything.

mod bucket;
mod keys;
mod refusals;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier_chassis::door::Door;
use atelier_chassis::{Metrics, Request, ServiceError};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use tokio::sync::watch as channel;

use keys::Keys;
use refusals::{Reason, Refusals};
pub(crate) use watch::Following;

/// The header for clients that cannot set `authorization`.
const API_KEY: &str = "x-api-key";

/// What every caller is told who shows no key that is known.
const RIGHT: &str = "right is the metadata `authorization: Bearer KEY` or `x-api-key: KEY`";

/// `[access]`: who may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// A TOML file of keys, as `atelier keys new` prints them. It must hold one at the start; from one that is emptied
    /// later on nobody may call. Default: none, everybody may call.
    pub keys: Option<PathBuf>,
    /// How often the file is looked at for changes, which are taken when two looks in a row read the same. 0 s: never.
    /// Default 5 s.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self { keys: None, reload: Duration::from_secs(5) }
    }
}

/// What is wrong with a file of keys: the file, the field, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("access.keys: {}: {problem}", path.display())]
pub struct AccessError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// The door of a gateway that asks for keys. Clones share it.
#[derive(Clone)]
pub(crate) struct Access {
    keys: channel::Receiver<Arc<Keys>>,
    refusals: Arc<Refusals>,
}

impl Access {
    /// Reads the file; `None` where there is none and everybody may call.
    /// `services` are those that there are, for a key to be limited to.
    pub(crate) fn load(
        config: &AccessConfig,
        services: BTreeSet<String>,
    ) -> Result<Option<(Self, Following)>, AccessError> {
        let Some(path) = &config.keys else { return Ok(None) };
        let (keys, following) = Following::new(path.clone(), config.reload, services)?;
        Ok(Some((Self { keys, refusals: Arc::default() }, following)))
    }

    /// Shows whom it turned away.
    pub(crate) fn watch(&self, metrics: &Metrics) {
        let Self { keys, refusals } = self.clone();
        metrics.add(move |exposition| {
            let keys = Arc::clone(&keys.borrow());
            refusals.show(keys.names(), exposition);
        });
    }

    fn decide(&self, headers: &HeaderMap, path: &str, now: Instant) -> Result<(), ServiceError> {
        let refuse = |name: Option<&str>, reason, error| {
            self.refusals.count(name, reason);
            Err(error)
        };
        let unauthenticated =
            |message: &str| ServiceError::Unauthenticated { message: format!("{message}; {RIGHT}") };
        let Some(shown) = shown(headers) else {
            return refuse(None, Reason::NoKey, unauthenticated("no API key"));
        };
        let keys = Arc::clone(&self.keys.borrow());
        let Some(key) = keys.find(shown) else {
            return refuse(None, Reason::UnknownKey, unauthenticated("the API key is not known"));
        };
        tracing::Span::current().record("key", key.name());
        let service = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
        if !key.may_call(service) {
            let message = format!(
                "the key {:?} may not call {service}; it may call: {}",
                key.name(),
                key.services().join(", ")
            );
            return refuse(Some(key.name()), Reason::Service, ServiceError::PermissionDenied { message });
        }
        match key.take(now) {
            Ok(()) => Ok(()),
            Err(wait) => {
                let message = format!("the key {:?} has used up its rate of requests", key.name());
                refuse(Some(key.name()), Reason::Rate, ServiceError::busy(message, wait))
            }
        }
    }
}

impl Door for Access {
    fn admit(&self, request: &mut Request) -> Result<(), ServiceError> {
        let decided = self.decide(request.headers(), request.uri().path(), Instant::now());
        // Roles have no use for it, and what they do not get they cannot lose.
        request.headers_mut().remove(AUTHORIZATION);
        request.headers_mut().remove(API_KEY);
        decided
    }
}

/// The key that a caller shows.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get(API_KEY)?.to_str().ok().map(str::trim)).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests;
