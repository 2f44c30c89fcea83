//! What a package can be used for, and the graphs that it takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GraphSpec, Manifest, audio, codec, images, segmentation, telemetry};
use crate::error::FieldError;
use crate::tensor::Dtype;

/// What a service can do with a package. Each kind promises graphs with named inputs and outputs; a package
/// may have more graphs than its kind asks for.
///
/// Images are `f32 [batch, channels, height, width]`. No graph has an input and an output of one name: ONNX
/// forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Removes noise: `denoiser` (`image`, `sigma` f32 `[batch]` -> `denoised`) for a known noise level, and
    /// `blind` (`image` -> `denoised`) for an unknown one.
    DenoisingAutoencoder,
    /// `encoder` (`image` -> `code`) and `decoder` (`code` -> `image`). It may also have `features` (`image` ->
    /// `features` f32 `[batch, N]`: what a linear classifier can tell images by) and `classifier` (`image` ->
    /// `logits` f32 `[batch, N]`), and then there is `[labels]` with N names.
    Autoencoder,
    /// `encoder` (`image` -> `mean`, `log_variance`) and `decoder` (`code` -> `image`).
    VariationalAutoencoder,
    /// Fills holes: `inpainter` (`image` in [0, 1], `mask` f32 `[batch, 1, height, width]`, 1 where pixels are
    /// to be filled and 0 elsewhere -> `filled`), of fixed size, grey or colour.
    Inpainter,
    /// Text, a character at a time: `step` (`token` i64 `[batch]`, state in -> `logits` f32 `[batch, V]`,
    /// state out) with its state pairs, and `[vocabulary]` with V characters.
    CharRnn,
    /// Speech, a sample at a time: `step` (`token` i64 `[batch]`, `condition` f32 `[batch, K]`, delay lines in
    /// -> `logits` f32 `[batch, levels]`, delay lines out) with its `[[graph.delay]]`, and `[audio]`. The
    /// condition is a one-hot digit, a one-hot speaker, and how far the digit is, in the order of `[audio]`. It may
    /// also have a graph `planner` (`word` f32 `[batch, W]`: digit, speaker and duration, `noise` f32 `[batch, N]`
    /// from a standard normal distribution -> `plan` f32 `[batch, moments, bands]`): then the condition ends with
    /// what is planned for that moment, a number for each band. Evaluations read recordings by an `encoder` beside
    /// it, which services do not ask.
    Wavenet,
    /// New images: `generator` (`z` f32 `[batch, D]`, drawn from a standard normal distribution -> `image` of
    /// fixed size, grey or colour). It may also take `class`, i64 `[batch]` with range `[0, N-1]`, and then
    /// there is `[labels]` with N names, and `age`, f32 `[batch]` in years with its range.
    Gan,
    /// Makes a face older or younger: `ager` (`image`, `age` f32 `[batch]`: the age wanted in years, with its
    /// range -> `aged`) and `novelty` (`image` -> `score` f32 `[batch]`: how far from an aligned face), with
    /// `[novelty]`. All images are of one fixed size, in colour.
    Ager,
    /// Foreground or background: `segmenter` (`image`, a grey tile of fixed size, normalised as
    /// `[segmentation]` says -> `logits` of the foreground, of the same shape), with `[segmentation]`.
    Segmentation,
    /// Finds anomalies in telemetry: `detector` (`window` f32 `[batch, time, columns]`, its last row the newest,
    /// and `channel` i64 `[batch]` -> `reconstruction` of the window's values f32 `[batch, time]` and
    /// `prediction` of the last value f32 `[batch]` from the rows before it and its own commands, each with the
    /// `…_scale` of the error that is to be expected, over 0), with `[telemetry]`.
    Anomaly,
    /// Any ONNX file, served as raw tensors: at least one graph of any name.
    Onnx,
}

/// (graph, inputs it must have, outputs it must have)
type Required = (&'static str, &'static [&'static str], &'static [&'static str]);

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::DenoisingAutoencoder,
        Self::Autoencoder,
        Self::VariationalAutoencoder,
        Self::Inpainter,
        Self::CharRnn,
        Self::Wavenet,
        Self::Gan,
        Self::Ager,
        Self::Segmentation,
        Self::Anomaly,
        Self::Onnx,
    ];

    /// The name as in `package.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DenoisingAutoencoder => "denoising-autoencoder",
            Self::Autoencoder => "autoencoder",
            Self::VariationalAutoencoder => "variational-autoencoder",
            Self::Inpainter => "inpainter",
            Self::CharRnn => "char-rnn",
            Self::Wavenet => "wavenet",
            Self::Gan => "gan",
            Self::Ager => "ager",
            Self::Segmentation => "segmentation",
            Self::Anomaly => "anomaly",
            Self::Onnx => "onnx",
        }
    }

    fn required(self) -> &'static [Required] {
        match self {
            Self::DenoisingAutoencoder => {
                &[("denoiser", &["image", "sigma"], &["denoised"]), ("blind", &["image"], &["denoised"])]
            }
            Self::Autoencoder => &[("encoder", &["image"], &["code"]), ("decoder", &["code"], &["image"])],
            Self::VariationalAutoencoder => {
                &[("encoder", &["image"], &["mean", "log_variance"]), ("decoder", &["code"], &["image"])]
            }
            Self::Inpainter => &[("inpainter", &["image", "mask"], &["filled"])],
            Self::CharRnn => &[("step", &["token"], &["logits"])],
            Self::Wavenet => &[("step", &["token", "condition"], &["logits"])],
            Self::Gan => &[("generator", &["z"], &["image"])],
            Self::Ager => &[("ager", &["image", "age"], &["aged"]), ("novelty", &["image"], &["score"])],
            Self::Segmentation => &[("segmenter", &["image"], &["logits"])],
            Self::Anomaly => &[("detector", &["window", "channel"], &["reconstruction", "prediction"])],
            Self::Onnx => &[],
        }
    }

    /// Whether the manifest has the graphs, tensors and tables of its kind.
    pub(super) fn validate(self, manifest: &Manifest) -> Result<(), FieldError> {
        for (name, inputs, outputs) in self.required() {
            let graph = manifest.graph(name).ok_or_else(|| {
                FieldError::new("graph", format!("a package of kind {self} must have a graph `{name}`"))
            })?;
            self.needs(graph, "inputs", inputs)?;
            self.needs(graph, "outputs", outputs)?;
            for spec in graph
                .inputs
                .iter()
                .chain(&graph.outputs)
                .filter(|s| matches!(s.name.as_str(), "image" | "denoised" | "filled" | "aged"))
            {
                if spec.dtype != Dtype::F32 || spec.shape.len() != 4 || spec.batch_axis() != Some(0) {
                    return Err(FieldError::new(
                        format!("graph.{name}.{}", spec.name),
                        format!(
                            "is {} {}, but an image is f32 [batch, c, h, w]",
                            spec.dtype,
                            spec.shape_text()
                        ),
                    ));
                }
            }
        }
        if manifest.labels.is_some() && !matches!(self, Self::Gan | Self::Autoencoder) {
            return Err(FieldError::new("labels", format!("a package of kind {self} has none")));
        }
        if manifest.novelty.is_some() && self != Self::Ager {
            return Err(FieldError::new("novelty", format!("a package of kind {self} has none")));
        }
        if manifest.audio.is_some() && self != Self::Wavenet {
            return Err(FieldError::new("audio", format!("a package of kind {self} has none")));
        }
        if manifest.segmentation.is_some() && self != Self::Segmentation {
            return Err(FieldError::new("segmentation", format!("a package of kind {self} has none")));
        }
        if manifest.telemetry.is_some() && self != Self::Anomaly {
            return Err(FieldError::new("telemetry", format!("a package of kind {self} has none")));
        }
        match self {
            Self::CharRnn => char_rnn(manifest),
            _ if manifest.vocabulary.is_some() => {
                Err(FieldError::new("vocabulary", format!("a package of kind {self} has none")))
            }
            Self::Autoencoder => codec::autoencoder(manifest),
            Self::Inpainter => codec::inpainter(manifest),
            Self::Gan => images::gan(manifest),
            Self::Ager => images::ager(manifest),
            Self::Wavenet => audio::wavenet(manifest),
            Self::Segmentation => segmentation::validate(manifest),
            Self::Anomaly => telemetry::validate(manifest),
            _ => Ok(()),
        }
    }

    fn needs(self, graph: &GraphSpec, side: &str, names: &[&str]) -> Result<(), FieldError> {
        let specs = if side == "inputs" { &graph.inputs } else { &graph.outputs };
        for name in names {
            if !specs.iter().any(|s| s.name == *name) {
                let has: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
                return Err(FieldError::new(
                    format!("graph.{}.{side}", graph.name),
                    format!(
                        "a package of kind {self} must have `{name}` here; there are: {}",
                        has.join(", ")
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn char_rnn(manifest: &Manifest) -> Result<(), FieldError> {
    let vocabulary = manifest.vocabulary.as_ref().ok_or_else(|| {
        FieldError::new("vocabulary", "a package of kind char-rnn must list its characters in id order")
    })?;
    let Some(graph) = manifest.graph("step") else { return Ok(()) };
    let token = graph.inputs.iter().find(|s| s.name == "token");
    let logits = graph.outputs.iter().find(|s| s.name == "logits");
    if !token.is_some_and(|s| s.dtype == Dtype::I64 && s.shape.len() == 1 && s.batch_axis() == Some(0)) {
        return Err(FieldError::new("graph.step.inputs.token", "must be i64 [batch]"));
    }
    let size = vocabulary.characters.len();
    let fits = |s: &&super::spec::TensorSpec| {
        s.dtype == Dtype::F32 && s.batch_axis() == Some(0) && s.shape.get(1..) == Some(&[size.into()])
    };
    if logits.filter(fits).is_none() {
        return Err(FieldError::new(
            "graph.step.outputs.logits",
            format!("must be f32 [batch, {size}], one for each character of [vocabulary]"),
        ));
    }
    if graph.state.is_empty() {
        return Err(FieldError::new("graph.step.state", "must pair each state input with its output"));
    }
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
