//! What a model of text writes when nobody tells it what: how much of it are words, and how much it knows by heart.

use std::collections::HashSet;

use anyhow::Context;
use atelier_package::Package;

use super::Streams;
use crate::data::text::Text;
use crate::evaluate::report::Figure;
use crate::onnx_runtime::OnnxRuntime;
use crate::random;

/// What logits are divided by before a character is drawn.
pub(crate) const TEMPERATURE: f64 = 0.7;
/// Passages that figures are taken of.
pub(super) const COUNT: usize = 20;
/// Characters of each.
pub(super) const LENGTH: usize = 1000;

/// Draws passages of `length` characters, `count` side by side, each after a line break.
pub(crate) fn draw(
    package: &Package,
    runtime: &OnnxRuntime,
    count: usize,
    length: usize,
) -> anyhow::Result<Vec<String>> {
    let characters = &package.manifest().vocabulary.as_ref().context("no vocabulary")?.characters;
    let mut streams = Streams::new(package, runtime, count)?;
    let mut rng = random::generator(&[random::VALIDATION]);
    let line_break = characters.iter().position(|&c| c == '\n').unwrap_or_default() as i64;
    let (mut tokens, mut passages) = (vec![line_break; count], vec![String::new(); count]);
    for _ in 0..length {
        let logits = streams.logits(&tokens)?;
        let rows = logits.chunks_exact(characters.len());
        for ((row, token), passage) in rows.zip(&mut tokens).zip(&mut passages) {
            let chosen = choose(row, random::unit(&mut rng));
            *token = chosen as i64;
            passage.extend(characters.get(chosen));
        }
    }
    Ok(passages)
}

fn choose(logits: &[f32], uniform: f64) -> usize {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&x| (f64::from(x - top) / TEMPERATURE).exp()).collect();
    let mut left = uniform * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    chosen.unwrap_or_default()
}

/// The figures of passages of `length` characters, beside those of as many of the test text.
pub(super) fn figures(
    package: &Package,
    runtime: &OnnxRuntime,
    text: &Text,
    length: usize,
) -> anyhow::Result<[Figure; 2]> {
    let written =
        |ids: &[i64]| ids.iter().filter_map(|&id| text.vocabulary.get(id as usize)).collect::<String>();
    let corpus = written(&text.train);
    let ours = draw(package, runtime, COUNT, length)?;
    let test: Vec<String> = text.test.chunks(length).take(COUNT).map(written).collect();
    let words = |passages: &[String]| known_words(passages, &corpus);
    let copied = |passages: &[String]| longest_copy(passages, &corpus) as f64;
    Ok([
        Figure::new("words_in_vocabulary", words(&ours)).beside(&[("test_text", words(&test))]),
        Figure::new("longest_copied_characters", copied(&ours)).beside(&[("test_text", copied(&test))]),
    ])
}

fn in_word(c: char) -> bool {
    c.is_alphabetic() || c == '\''
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !in_word(c)).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The part of the words of passages that `corpus` has too, large or small. Words at an end of a passage may be cut
/// off, and do not count.
fn known_words(passages: &[String], corpus: &str) -> f64 {
    let known: HashSet<String> = words(corpus).collect();
    let (mut all, mut found) = (0usize, 0usize);
    for word in passages.iter().flat_map(|passage| words(passage.trim_matches(in_word))) {
        all += 1;
        found += usize::from(known.contains(&word));
    }
    found as f64 / all.max(1) as f64
}

/// Characters in the longest part of a passage that `corpus` has, character by character.
fn longest_copy(passages: &[String], corpus: &str) -> usize {
    let passages: Vec<Vec<char>> = passages.iter().map(|passage| passage.chars().collect()).collect();
    let corpus: Vec<char> = corpus.chars().collect();
    let copied = |length: usize| {
        let parts: HashSet<&[char]> = passages.iter().flat_map(|passage| passage.windows(length)).collect();
        corpus.windows(length).any(|part| parts.contains(part))
    };
    // What has a part of some length has one of every smaller length.
    let mut longest = 0;
    let mut step = passages.iter().map(Vec::len).max().unwrap_or(0).next_power_of_two();
    while step > 0 {
        if copied(longest + step) {
            longest += step;
        }
        step /= 2;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: &str = "First Citizen:\nBefore we proceed any further, hear me speak.";

    #[test]
    fn words_that_the_corpus_lacks_are_counted_and_those_that_may_be_cut_off_are_not() {
        let passages = ["tizen before WE, xyzzy procee".to_owned(), "a speak further hear m".to_owned()];
        assert!((known_words(&passages, CORPUS) - 5.0 / 6.0).abs() < 1e-9);
    }

    #[test]
    fn the_longest_copy_is_found_whatever_its_length() {
        for length in [0, 1, 2, 3, 7, 8, 31, CORPUS.len()] {
            let passage = format!("{}%", &CORPUS[CORPUS.len() - length..]);
            assert_eq!(longest_copy(&["#".to_owned(), passage], CORPUS), length);
        }
    }

    #[test]
    fn characters_are_drawn_as_often_as_their_logits_say() {
        // e^(ln 3 / 0.7) to 1.
        let logits = [0.0, 3f32.ln(), f32::NEG_INFINITY];
        let share = 3f64.powf(1.0 / TEMPERATURE) / (1.0 + 3f64.powf(1.0 / TEMPERATURE));
        let drawn = (0..1000).filter(|&i| choose(&logits, f64::from(i) / 1000.0) == 1).count();
        assert!((drawn as f64 / 1000.0 - share).abs() < 0.002, "{drawn}");
        assert_eq!(choose(&logits, 0.0), 0);
    }
}
