//! `package.toml`.

mod audio;
mod codec;
mod delay;
mod images;
pub(crate) mod kind;
mod labels;
mod segmentation;
pub(crate) mod spec;
mod telemetry;
mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::PackageError;
use crate::name::{PackageName, Version};
pub use audio::{Audio, Speaker};
pub use delay::DelayLines;
pub use images::Novelty;
use kind::Kind;
pub use labels::Labels;
pub use segmentation::{Curve, Segmentation};
use spec::TensorSpec;
pub use telemetry::{ErrorLimits, Telemetry, TelemetryChannel};

/// Everything that `package.toml` says. A field that is not here is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name, which is also its directory's.
    pub name: PackageName,
    /// The version, which is also the name of the directory inside that.
    pub version: Version,
    /// What a service can do with it.
    pub kind: Kind,
    /// One line for people: what it does.
    pub summary: String,
    /// Of the weights; honest about the data they come from.
    pub licence: String,
    /// What it was trained on.
    pub data: String,
    /// What it must not be taken for or used for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// The graphs, at least one.
    #[serde(rename = "graph")]
    pub graphs: Vec<GraphSpec>,
    /// For kinds that read or write text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
    /// For models that know classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// For models that refuse what is too unlike their training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Novelty>,
    /// For kinds that make speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    /// For models that find what is where in a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<Segmentation>,
    /// For models that find anomalies in telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// How it was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// What it reached on the test split: finite numbers and text, in tables of any depth. Written by
    /// `atelier-train evaluate`, never by hand.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub metrics: toml::Table,
}

/// One ONNX graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// What the services call it: `denoiser`, `encoder`, `step` …
    pub name: String,
    /// A plain file name beside `package.toml`, ending in `.onnx`.
    pub file: String,
    /// Of the file, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// In the order in which the services give them.
    pub inputs: Vec<TensorSpec>,
    /// In the order in which the services get them.
    pub outputs: Vec<TensorSpec>,
    /// For a step graph: which output of one step is which input of the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StatePair>,
    /// For a step graph: what it is given of outputs of steps long past.
    #[serde(default, rename = "delay", skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<DelayLines>,
}

impl GraphSpec {
    /// Whether it is run a step at a time, with what it remembers handed from step to step.
    pub fn is_step(&self) -> bool {
        !self.state.is_empty() || !self.delays.is_empty()
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|s| s.name == name)
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|s| s.name == name)
    }
}

/// A state that is handed from one step to the next. It starts at 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePair {
    /// The input that takes it.
    pub input: String,
    /// The output that gives it, of the same type and shape.
    pub output: String,
}

/// The characters that a model reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// In the order of their token ids, from 0; no character twice. In the file each is a string of one.
    pub characters: Vec<char>,
}

/// How a model was trained, for those who want it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The recipe's name.
    pub recipe: String,
    /// The run's seed.
    pub seed: u64,
    /// How long it took, in minutes.
    pub minutes: f64,
    /// On what: processor, cores, libraries.
    pub machine: String,
}

/// Channels, height and width of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
}

impl Manifest {
    /// Reads and validates the text of a `package.toml`; `path` is for the messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PackageError> {
        let manifest: Self = toml::from_str(text).map_err(|e| {
            let (line, shown) = line_of(text, e.span().map_or(0, |s| s.start));
            let message = match shown.is_empty() {
                true => e.message().to_owned(),
                false => format!("`{shown}`: {}", e.message()),
            };
            PackageError::Syntax { path: path.into(), line, message }
        })?;
        manifest.validate().map_err(PackageError::field(path))?;
        Ok(manifest)
    }

    /// The text of a `package.toml`, which [`Manifest::parse`] reads back as the same manifest.
    pub fn to_toml(&self) -> Result<String, PackageError> {
        toml::to_string_pretty(self).map_err(|e| PackageError::Field {
            path: crate::MANIFEST_FILE.into(),
            field: "metrics".into(),
            message: e.to_string(),
        })
    }

    /// The graph of this name.
    pub fn graph(&self, name: &str) -> Option<&GraphSpec> {
        self.graphs.iter().find(|g| g.name == name)
    }

    /// The shape of the images that the model takes or makes: that of the first input or output called
    /// `image` whose channels, height and width are fixed.
    pub fn image_shape(&self) -> Option<ImageShape> {
        let mut specs = self.graphs.iter().flat_map(|g| g.inputs.iter().chain(&g.outputs));
        specs.find_map(|spec| spec.image_shape().filter(|_| spec.name == "image"))
    }
}

fn line_of(text: &str, offset: usize) -> (usize, String) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.bytes().filter(|b| *b == b'\n').count();
    let shown = text.lines().nth(line).map(|l| crate::name::shorten(l.trim())).unwrap_or_default();
    // The message is in quotes already: a quote escaped for a debugger would only confuse.
    (line + 1, shown.replace("\\\"", "\"").replace("\\'", "'"))
}
