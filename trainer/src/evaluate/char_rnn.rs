//! Nats a character on the last tenth of a text, by both protocols: windows of 256 characters, each from an
//! empty state (as nanoGPT counts, but every window once), and statefully from the first to the last; and what is
//! written freely.

pub(crate) mod passages;

use std::path::Path;

use anyhow::{Context, ensure};
use atelier_package::{Package, Tensor as Plain};

use super::kneser_ney::KneserNey;
use super::report::{Bound, Figure, Report};
use super::{Settings, session};
use crate::data::text::Text;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};

/// Characters in a window.
const WINDOW: usize = 256;
/// The text that is evaluated on, whatever a recipe was trained on.
const FILE: &str = "tinyshakespeare.txt";

/// The network's step graph with the states of all its streams.
struct Streams {
    graph: GraphSession,
    state: Vec<Plain>,
    vocabulary: usize,
}

impl Streams {
    fn new(package: &Package, runtime: &OnnxRuntime, count: usize) -> anyhow::Result<Self> {
        let spec = package.manifest().graph("step").context("there is no graph step")?;
        let zeros = spec.inputs[1..].iter().map(|input| {
            let size = |dim: &atelier_package::Dim| match dim {
                atelier_package::Dim::Fixed(n) => *n,
                atelier_package::Dim::Symbol(_) => count,
            };
            let shape: Vec<usize> = input.shape.iter().map(size).collect();
            let zeros = vec![0.0; shape.iter().product()];
            Ok(Plain::f32(shape, zeros)?)
        });
        let state = zeros.collect::<anyhow::Result<Vec<_>>>()?;
        let vocabulary = package.manifest().vocabulary.as_ref().map_or(0, |v| v.characters.len());
        Ok(Self { graph: session(package, runtime, "step")?, state, vocabulary })
    }

    /// Feeds one character to each stream and returns the logits of the next, `[streams, vocabulary]`.
    fn logits(&mut self, tokens: &[i64]) -> anyhow::Result<Vec<f32>> {
        let mut inputs = vec![Plain::i64([tokens.len()], tokens.to_vec())?];
        inputs.append(&mut self.state);
        let mut outputs = self.graph.run(&inputs)?;
        self.state = outputs.split_off(1);
        let logits = outputs.first().and_then(Plain::as_f32).context("step must give logits")?;
        Ok(logits.to_vec())
    }

    /// Feeds one character to each stream and returns the nats of the ones that follow, summed.
    fn step(&mut self, tokens: &[i64], targets: &[i64]) -> anyhow::Result<f64> {
        let logits = self.logits(tokens)?;
        let rows = logits.chunks_exact(self.vocabulary);
        Ok(rows.zip(targets).map(|(row, &target)| nats(row, target as usize)).sum())
    }
}

fn nats(logits: &[f32], target: usize) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    sum.ln() - f64::from(logits[target] - top)
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let text = Text::read(data, FILE)?;
    let known = package.manifest().vocabulary.as_ref().map(|v| v.characters.as_slice()).unwrap_or_default();
    ensure!(
        known == text.vocabulary,
        "the package's vocabulary is not that of {FILE}, the text that is evaluated on"
    );
    let test = &text.test[..settings.limit.map_or(text.test.len(), |n| n.clamp(WINDOW + 1, text.test.len()))];

    let count = (test.len() - 1) / WINDOW;
    let mut streams = Streams::new(package, runtime, count)?;
    let mut windows = 0.0;
    for t in 0..WINDOW {
        let at = |shift: usize| (0..count).map(|w| test[w * WINDOW + t + shift]).collect::<Vec<_>>();
        windows += streams.step(&at(0), &at(1))?;
    }
    let windows = windows / (count * WINDOW) as f64;

    let mut stream = Streams::new(package, runtime, 1)?;
    let mut stateful = 0.0;
    // The service, too, has read a line break before it reads a text.
    let mut last = text.train.last().copied().unwrap_or_default();
    for &next in test {
        stateful += stream.step(&[last], &[next])?;
        last = next;
    }
    let stateful = stateful / test.len() as f64;

    let bytes = |ids: &[i64]| ids.iter().map(|&id| id as u8).collect::<Vec<u8>>();
    let (train, test) = (bytes(&text.train), bytes(test));
    let ngram = KneserNey::fit(&train, text.vocabulary.len(), 7);
    // Told as much as the network is: the character before the first that it predicts.
    let ngram_windows = (0..count).map(|w| {
        let (first, rest) = test[w * WINDOW..][..=WINDOW].split_at(1);
        ngram.nats(first, rest)
    });
    let ngram_windows = ngram_windows.sum::<f64>() / count as f64;
    let ngram_stateful = ngram.nats(&train, &test);
    let length = settings.limit.map_or(passages::LENGTH, |n| n.clamp(1, passages::LENGTH));
    let [words, copied] = passages::figures(package, runtime, &text, length)?;

    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "tinyshakespeare, last 10 %: {} characters, nats a character, {count} windows of {WINDOW}",
            test.len()
        ),
        figures: vec![
            Figure::new("nats_windows_256", windows)
                .beside(&[("seven_gram", ngram_windows), ("nanogpt_published", 1.4697)])
                .levels(Bound::AtMost(1.50), Bound::AtMost(1.44)),
            Figure::new("nats_stateful", stateful).beside(&[("seven_gram", ngram_stateful)]),
            Figure::new("bits_stateful", stateful / std::f64::consts::LN_2),
            words,
            copied,
        ],
        notes: vec![
            "the weights are those of the last step; but a run is validated on these very characters, so a recipe that is changed after a look at its runs is chosen by them, as ours was once"
                .into(),
            "windows: every character but the first of the text is predicted, given those before it in its window and one; by the 7-gram alike"
                .into(),
            format!(
                "words_in_vocabulary, longest_copied_characters: the part of words that the training text has, and the longest part that it has character by character, of {} passages of {length} characters drawn at temperature {}",
                passages::COUNT,
                passages::TEMPERATURE
            ),
        ],
    })
}
