//! The profiles of `deploy/ghz`: one RPC each, with a payload and a rate.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::payload::Sources;

/// One RPC, and how it is loaded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The name: its file's.
    #[serde(skip)]
    pub(crate) name: String,
    /// The method, `package.Service.Method`.
    pub(crate) call: String,
    /// The role that serves it, for `--direct`.
    pub(crate) role: String,
    /// Calls a second in a smoke run.
    pub(crate) rps: u32,
    /// Calls a second in a soak, all profiles at once; 0 leaves it out.
    #[serde(default)]
    pub(crate) soak_rps: u32,
    /// Whether a soak makes its calls one after the other, at most `soak_rps` of them a second: ghz knows no
    /// rate below one a second, which is too much for what is slow.
    #[serde(default)]
    pub(crate) soak_in_turn: bool,
    /// How long it is loaded in a smoke run.
    #[serde(default = "three")]
    pub(crate) seconds: u32,
    /// The code that every call must end with, as ghz writes it.
    #[serde(default = "ok")]
    pub(crate) expect: String,
    /// Whether it needs a picture of a face, which is not shipped.
    #[serde(default)]
    pub(crate) needs_face: bool,
    /// The message, or the messages of a stream from the client, with names for pictures.
    pub(crate) data: Value,
}

fn three() -> u32 {
    3
}

fn ok() -> String {
    "OK".into()
}

/// What all profiles share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Common {
    /// The folder of the `.proto` files.
    proto_root: String,
    /// ghz's own options.
    ghz: Map<String, Value>,
}

/// How much of a profile is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// A few seconds of each, one after the other.
    Smoke,
    /// All at once, at their soak rates, for this long.
    Soak {
        /// How long.
        seconds: u64,
    },
}

impl Profile {
    /// All profiles of a folder, by name.
    ///
    /// # Errors
    /// One line: a file cannot be read or is none.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("no profiles in {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Self> {
        let mut profile: Self = read_toml(path)?;
        profile.name = path.file_stem().context("a profile has no name")?.to_string_lossy().into_owned();
        ensure!(profile.rps > 0, "{}: rps is 0, which ghz takes for no limit", path.display());
        Ok(profile)
    }

    /// How many calls a second are asked for; `None` where the mode leaves the profile out.
    pub(crate) fn rate(&self, mode: Mode) -> Option<u32> {
        match mode {
            Mode::Smoke => Some(self.rps),
            Mode::Soak { .. } => Some(self.soak_rps).filter(|rps| *rps > 0),
        }
    }

    /// Whether a call waits for the one before it, so that there is no rate to be kept.
    pub(crate) fn in_turn(&self, mode: Mode) -> bool {
        self.soak_in_turn && mode != Mode::Smoke
    }

    /// ghz's configuration file: everything but where its report goes.
    ///
    /// # Errors
    /// One line: the payload cannot be made.
    pub(crate) fn ghz(&self, common: &Common, sources: &Sources, host: &str, mode: Mode) -> Result<Value> {
        let mut config = common.ghz.clone();
        let root = sources.workspace.join(&common.proto_root);
        let data = sources.fill(&self.data).with_context(|| self.name.clone())?;
        config.extend([
            ("name".to_owned(), json!(self.name)),
            ("call".to_owned(), json!(self.call)),
            ("host".to_owned(), json!(host)),
            ("proto".to_owned(), json!(proto(&self.call))),
            ("import-paths".to_owned(), json!([root])),
            ("rps".to_owned(), json!(self.rate(mode).unwrap_or(self.rps))),
            ("data".to_owned(), data),
        ]);
        if self.in_turn(mode) {
            let turn = [("async", json!(false)), ("concurrency", json!(1)), ("connections", json!(1))];
            config.extend(turn.map(|(name, value)| (name.to_owned(), value)));
        }
        match mode {
            Mode::Smoke => config.insert("total".into(), json!((self.rps * self.seconds).max(2))),
            Mode::Soak { seconds } => config.insert("duration".into(), json!(format!("{seconds}s"))),
        };
        Ok(Value::Object(config))
    }
}

/// The file that a method is declared in: `atelier.codec.v1.CodecService.Encode` in
/// `atelier/codec/v1/codec.proto`.
fn proto(call: &str) -> String {
    let words: Vec<&str> = call.split('.').collect();
    match words.as_slice() {
        [house, domain, version, _, _] => format!("{house}/{domain}/{version}/{domain}.proto"),
        _ => format!("{0}/{0}.proto", words.first().copied().unwrap_or_default()),
    }
}

/// Reads a file of ours.
///
/// # Errors
/// One line that names the file.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};

    use super::*;

    fn workspace() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    fn shipped() -> (Common, Vec<Profile>, Sources) {
        let folder = workspace().join("deploy/ghz");
        let face = Some(workspace().join("docs/clothes/boot.png"));
        let sources = Sources { workspace: workspace(), face };
        (
            read_toml(&folder.join("ghz.toml")).unwrap(),
            Profile::all(&folder.join("profiles")).unwrap(),
            sources,
        )
    }

    fn methods() -> Vec<MethodDescriptor> {
        let pool = DescriptorPool::decode(atelier_proto::FILE_DESCRIPTOR_SET).unwrap();
        pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }

    #[test]
    fn every_method_has_a_profile_and_every_profile_a_method() {
        let (_, profiles, _) = shipped();
        let ours: BTreeSet<String> = profiles.iter().map(|profile| profile.call.clone()).collect();
        let theirs: BTreeSet<String> = methods().iter().map(|method| method.full_name().to_owned()).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn every_payload_is_a_message_of_its_method() {
        let (common, profiles, sources) = shipped();
        for profile in profiles {
            let method = methods().into_iter().find(|method| method.full_name() == profile.call).unwrap();
            let config = profile.ghz(&common, &sources, "127.0.0.1:1", Mode::Smoke).unwrap();
            let messages = match config["data"].clone() {
                Value::Array(messages) => messages,
                message => vec![message],
            };
            assert!(messages.len() == 1 || method.is_client_streaming(), "{}", profile.name);
            for message in messages {
                // Unknown fields and numbers out of range are errors.
                DynamicMessage::deserialize(method.input(), message)
                    .unwrap_or_else(|error| panic!("{}: {error}", profile.name));
            }
            let file = method.parent_file().name().to_owned();
            assert_eq!(config["proto"], json!(file), "{}", profile.name);
        }
    }

    #[test]
    fn a_soak_runs_for_its_time_at_its_own_rates() {
        let (common, profiles, sources) = shipped();
        let mode = Mode::Soak { seconds: 90 };
        let running: Vec<_> = profiles.iter().filter(|profile| profile.rate(mode).is_some()).collect();
        assert!(running.len() > 8, "most models are in it: {}", running.len());
        let quick = running.iter().find(|profile| !profile.soak_in_turn).unwrap();
        let config = quick.ghz(&common, &sources, "h:1", mode).unwrap();
        assert_eq!((&config["duration"], &config["total"]), (&json!("90s"), &Value::Null));
        assert_eq!((&config["rps"], &config["async"]), (&json!(quick.soak_rps), &json!(true)));
        let slow = running.iter().find(|profile| profile.soak_in_turn).unwrap();
        let config = slow.ghz(&common, &sources, "h:1", mode).unwrap();
        assert_eq!((&config["async"], &config["concurrency"]), (&json!(false), &json!(1)));
        assert_eq!(slow.ghz(&common, &sources, "h:1", Mode::Smoke).unwrap()["async"], json!(true));
    }

    #[test]
    fn a_profile_that_is_none_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "call = \"a.B\"\nrole = \"codec\"\nrps = 1\nspeed = 2\n[data]\n").unwrap();
        let said = Profile::all(folder.path()).unwrap_err().to_string();
        assert!(said.contains("a.toml") && said.contains("speed") && !said.contains('\n'), "{said}");
        std::fs::write(&path, "call = \"a.B\"\nrole = \"codec\"\nrps = 0\n[data]\n").unwrap();
        assert!(Profile::all(folder.path()).unwrap_err().to_string().contains("rps is 0"));
    }
}
