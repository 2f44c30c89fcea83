//! The file of keys.
//!
//! Keys are 256 random bits, so that a plain SHA-256 of one gives nobody the key: there is nothing to guess by
//! trying words, which is what slow hashes are for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::bucket::{Bucket, MOST};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

/// `[[key]]`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// What the log, metrics and errors call its holder.
    name: String,
    /// The SHA-256 of the key, in hexadecimal digits.
    sha256: String,
    /// How many requests a second its holder may make; a stream is one, at its start. Absent: any.
    requests_per_second: Option<f64>,
    /// How many of them at once. Default: those of a second, at least 1.
    burst: Option<f64>,
    /// The full names of the services that its holder may call. Default: all.
    #[serde(default)]
    services: Vec<String>,
}

/// Somebody who may call.
pub(super) struct Key {
    entry: Entry,
    bucket: Option<Mutex<Bucket>>,
}

impl Key {
    pub(super) fn name(&self) -> &str {
        &self.entry.name
    }

    /// What it may call; all where there is none.
    pub(super) fn services(&self) -> &[String] {
        &self.entry.services
    }

    pub(super) fn may_call(&self, service: &str) -> bool {
        self.entry.services.is_empty() || self.entry.services.iter().any(|own| own == service)
    }

    /// Counts a request; or says how long until the next one may be made.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        // Numbers alone are behind it, whole after whatever happened.
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// Everybody who may call, by the hash of their key.
#[derive(Default)]
pub(super) struct Keys(HashMap<[u8; 32], Arc<Key>>);

impl Keys {
    /// Reads a file's text. Keys that are as they were in `before` have what was left of their rate.
    pub(super) fn parse(text: &str, before: &Self) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let mut names = BTreeSet::new();
        let mut keys = HashMap::new();
        for entry in file.key {
            let name = entry.name.clone();
            let wrong = |field: &str, problem: &str| format!("key {name:?}: {field} {problem}");
            if name.is_empty() || name.len() > 64 || !names.insert(name.clone()) {
                return Err(wrong("name", "must be of 1 to 64 bytes, and no other key's"));
            }
            let mut hash = [0; 32];
            hex::decode_to_slice(&entry.sha256, &mut hash)
                .map_err(|_| wrong("sha256", "must be 64 hexadecimal digits, the SHA-256 of the key"))?;
            let bucket = bucket(&entry).map_err(|(field, problem)| wrong(field, &problem))?;
            let kept = before.0.get(&hash).filter(|key| key.entry == entry).cloned();
            let key = kept.unwrap_or_else(|| Arc::new(Key { entry, bucket: bucket.map(Mutex::new) }));
            if let Some(other) = keys.insert(hash, key) {
                return Err(wrong("sha256", &format!("is that of key {:?} too", other.name())));
            }
        }
        Ok(Self(keys))
    }

    /// Whose key this is. What is compared are hashes, whose bytes nobody can choose: how long it takes tells
    /// nothing about a key.
    pub(super) fn find(&self, shown: &str) -> Option<&Key> {
        let hash: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        self.0.get(&hash).map(|key| &**key)
    }

    /// That every service that a key names is one of these.
    pub(super) fn name_only(&self, known: &BTreeSet<String>) -> Result<(), String> {
        let all =
            self.0.values().flat_map(|key| key.services().iter().map(move |service| (key.name(), service)));
        match all.min_by_key(|(name, service)| (known.contains(*service), *name, *service)) {
            Some((name, service)) if !known.contains(service) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let known = known.join(", ");
                Err(format!("key {name:?}: services has {service:?}, which nobody serves; there is: {known}"))
            }
            _ => Ok(()),
        }
    }

    /// What their holders are called.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|key| key.name())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn bucket(entry: &Entry) -> Result<Option<Bucket>, (&'static str, String)> {
    let Some(rate) = entry.requests_per_second else {
        return match entry.burst {
            Some(_) => Err(("burst", "needs requests_per_second beside it".into())),
            None => Ok(None),
        };
    };
    if !(rate > 0.0 && rate <= MOST) {
        return Err(("requests_per_second", format!("is {rate}, must be more than 0 and at most {MOST:e}")));
    }
    let burst = entry.burst.unwrap_or_else(|| rate.max(1.0));
    if !(1.0..=MOST).contains(&burst) {
        return Err(("burst", format!("is {burst}, must be from 1 to {MOST:e}")));
    }
    Ok(Some(Bucket::new(rate, burst)))
}
