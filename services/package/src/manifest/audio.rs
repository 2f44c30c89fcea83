//! `[audio]`: what a model of speech says, in whose voices, and what its samples stand for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::spec::{Dim, TensorSpec};
use super::{GraphSpec, Manifest};
use crate::error::FieldError;
use crate::name::shorten;
use crate::tensor::Dtype;

/// The most levels that a sample can have: those of 16 bits.
const LEVELS: usize = 1 << 16;
/// The most seconds that one digit may take.
const LONGEST: u32 = 10;

/// What a model of speech says, in whose voices, and what its samples stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Samples a second, 4,000 to 192,000.
    pub sample_rate: u32,
    /// How many levels a sample has; the tokens of the graph are 0 to one less. They are those of the mu-law
    /// with `mu = levels - 1` (ITU-T G.711 for 256): from -1 to 1, the finer the nearer to 0. An even number,
    /// 16 to 65536.
    pub levels: usize,
    /// What can be said, in the order of the condition: digits from 0 to 9, none twice.
    pub digits: Vec<char>,
    /// The voices, in the order of the condition.
    #[serde(rename = "speaker")]
    pub speakers: Vec<Speaker>,
}

/// One voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speaker {
    /// 1 to 64 of a-z, 0-9, '-' and '_'.
    pub name: String,
    /// What the samples of this speaker's recordings were multiplied by before training, over 0: the model
    /// makes samples of that loudness.
    pub gain: f64,
    /// For each digit how long the speaker takes over it, in samples: quantiles at even distances from the 5 %
    /// to the 95 % quantile of the training recordings, ascending, at least two.
    pub durations: Vec<Vec<u32>>,
}

impl Audio {
    /// The place of a digit in the condition.
    pub fn digit(&self, digit: char) -> Option<usize> {
        self.digits.iter().position(|d| *d == digit)
    }

    /// The place of a speaker in the condition.
    pub fn speaker(&self, name: &str) -> Option<usize> {
        self.speakers.iter().position(|s| s.name == name)
    }

    pub(super) fn validate(&self) -> Result<(), FieldError> {
        let wrong = |field: &str, message: String| Err(FieldError::new(format!("audio.{field}"), message));
        if !(4_000..=192_000).contains(&self.sample_rate) {
            let message = format!("is {}, but 4000 to 192000 is right", self.sample_rate);
            return wrong("sample_rate", message);
        }
        if !(16..=LEVELS).contains(&self.levels) || !self.levels.is_multiple_of(2) {
            return wrong(
                "levels",
                format!("is {}, but an even number, 16 to {LEVELS}, is right", self.levels),
            );
        }
        let mut seen = BTreeSet::new();
        if let Some(c) = self.digits.iter().find(|c| !c.is_ascii_digit() || !seen.insert(**c)) {
            return wrong("digits", format!("{c:?} is no digit, or is there twice"));
        }
        if self.digits.is_empty() {
            return wrong("digits", "there must be 1 to 10".into());
        }
        if self.speakers.is_empty() || self.speakers.len() > 4096 {
            return wrong("speaker", "there must be 1 to 4096".into());
        }
        let mut seen = BTreeSet::new();
        for speaker in &self.speakers {
            speaker.validate(self)?;
            if !seen.insert(speaker.name.as_str()) {
                return wrong("speaker.name", format!("`{}` is there twice", speaker.name));
            }
        }
        Ok(())
    }
}

impl Speaker {
    fn validate(&self, audio: &Audio) -> Result<(), FieldError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Err(FieldError::new(
                "audio.speaker.name",
                format!("`{}` is no name: 1 to 64 of a-z, 0-9, '-' and '_' are", shorten(&self.name)),
            ));
        }
        let wrong = |field: &str, message: String| {
            Err(FieldError::new(format!("audio.speaker.{}.{field}", self.name), message))
        };
        if !(self.gain.is_finite() && self.gain > 0.0) {
            return wrong("gain", format!("is {}, but a number over 0 is right", self.gain));
        }
        if self.durations.len() != audio.digits.len() {
            return wrong(
                "durations",
                format!(
                    "are for {} digits, but there are {} in audio.digits",
                    self.durations.len(),
                    audio.digits.len()
                ),
            );
        }
        let longest = audio.sample_rate.saturating_mul(LONGEST);
        for (quantiles, digit) in self.durations.iter().zip(&audio.digits) {
            let range = quantiles.iter().all(|n| (1..=longest).contains(n));
            if !(2..=1001).contains(&quantiles.len()) || !quantiles.is_sorted() || !range {
                return wrong(
                    "durations",
                    format!(
                        "those of {digit} must be 2 to 1001 numbers of samples, 1 to {longest} each (that is \
                         {LONGEST} s), the lesser first"
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Whether the step graph of a `wavenet` can be given what it takes.
pub(super) fn wavenet(manifest: &Manifest) -> Result<(), FieldError> {
    let audio = manifest.audio.as_ref().ok_or_else(|| {
        FieldError::new("audio", "a package of kind wavenet must say what it speaks, and in whose voice")
    })?;
    let Some(graph) = manifest.graph("step") else { return Ok(()) };
    let wrong = |place: &str, message: String| Err(FieldError::new(format!("graph.step.{place}"), message));
    let levels = audio.levels;
    let logits = TensorSpec::new("", Dtype::F32, ["batch".into(), levels.into()]);
    if !graph.output("logits").is_some_and(|s| s.dtype == logits.dtype && s.shape == logits.shape) {
        let message = format!("must be f32 [batch, {levels}], one for each of audio.levels");
        return wrong("outputs.logits", message);
    }
    let (digits, speakers) = (audio.digits.len(), audio.speakers.len());
    for spec in &graph.inputs {
        let place = format!("inputs.{}", spec.name);
        match spec.name.as_str() {
            "token" if spec.dtype == Dtype::I64 && spec.shape.as_slice() == ["batch".into()] => {}
            "token" => return wrong(&place, "must be i64 [batch]".into()),
            "condition" => match spec.shape.as_slice() {
                [batch, Dim::Fixed(k)]
                    if spec.dtype == Dtype::F32 && batch.is_batch() && *k > digits + speakers => {}
                _ => {
                    return wrong(
                        &place,
                        format!(
                            "must be f32 [batch, K]: {digits} for the digit, {speakers} for the speaker, and \
                             1 or more for how far it is"
                        ),
                    );
                }
            },
            name if graph.delays.iter().any(|d| d.input == name) => {}
            name if graph.state.iter().any(|s| s.input == name) => {}
            _ => {
                let message = "is none of token, condition, states and delays: nobody would give it";
                return wrong(&place, message.into());
            }
        }
    }
    if graph.delays.is_empty() && graph.state.is_empty() {
        return wrong("delay", "there must be delay lines, or the model would forget each sample".into());
    }
    manifest.graph("planner").map_or(Ok(()), |graph| planner(graph, digits + speakers + 1))
}

/// Whether a graph that plans words of so many numbers can be given what it takes, and gives a plan.
fn planner(graph: &GraphSpec, word: usize) -> Result<(), FieldError> {
    let wrong =
        |place: &str, message: String| Err(FieldError::new(format!("graph.planner.{place}"), message));
    let fixed = |spec: &TensorSpec, dims: usize| {
        let (first, rest) = spec.shape.split_first()?;
        let right = spec.dtype == Dtype::F32 && first.is_batch() && rest.len() == dims;
        let rest = rest.iter().map(|dim| if let Dim::Fixed(n @ 1..) = dim { Some(*n) } else { None });
        rest.collect::<Option<Vec<usize>>>().filter(|_| right)
    };
    for name in ["word", "noise"] {
        if graph.input(name).is_none() {
            return wrong("inputs", format!("there must be one named {name}"));
        }
    }
    for spec in &graph.inputs {
        let place = format!("inputs.{}", spec.name);
        match (spec.name.as_str(), fixed(spec, 1)) {
            ("word", Some(dims)) if dims == [word] => {}
            ("word", _) => {
                let message =
                    format!("must be f32 [batch, {word}]: one for each digit and speaker, and the duration");
                return wrong(&place, message);
            }
            ("noise", Some(_)) => {}
            ("noise", None) => return wrong(&place, "must be f32 [batch, N]".into()),
            _ => return wrong(&place, "is neither word nor noise: nobody would give it".into()),
        }
    }
    if graph.output("plan").and_then(|spec| fixed(spec, 2)).is_none() {
        return wrong("outputs.plan", "must be there, f32 [batch, moments, bands]".into());
    }
    Ok(())
}
