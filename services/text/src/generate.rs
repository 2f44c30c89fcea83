//! Continues a text: reads the prompt, then draws character after character.

use atelier_engine::{Cursor, EngineError, Sampler, Step};
use tokio::sync::oneshot;

use crate::stop::{Passed, StopMatcher};
use crate::vocabulary::Vocabulary;

/// A stream that makes text. Its text depends on the prompt, the sampler's seed and the logits alone.
#[derive(Debug)]
pub(crate) struct Generating {
    prompt: Vec<i64>,
    read: usize,
    sampler: Sampler,
    vocabulary: Vocabulary,
    stops: StopMatcher,
    left: usize,
    sent: usize,
    /// Dropped when the stream is over, however it ends.
    alive: Option<oneshot::Sender<()>>,
}

/// What the stream's client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// More text, perhaps none.
    pub(crate) text: String,
    /// If it is the last.
    pub(crate) end: Option<End>,
}

/// How a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The stop string that ended it, by its place in the list; otherwise it has as many characters as it may.
    pub(crate) stop: Option<usize>,
    /// Characters sent in all.
    pub(crate) sent: usize,
}

impl Generating {
    /// A continuation of `prompt`, which must not be empty, by `max_chars` characters at most, at least 1.
    pub(crate) fn new(
        prompt: Vec<i64>,
        vocabulary: Vocabulary,
        sampler: Sampler,
        stops: StopMatcher,
        max_chars: usize,
    ) -> Self {
        Self { prompt, read: 0, sampler, vocabulary, stops, left: max_chars, sent: 0, alive: None }
    }

    /// What becomes ready when the stream is over.
    pub(crate) fn over(&mut self) -> oneshot::Receiver<()> {
        let (alive, over) = oneshot::channel();
        self.alive = Some(alive);
        over
    }

    fn piece(&mut self, text: String, ended: bool, stop: Option<usize>) -> Option<Piece> {
        self.sent += text.chars().count();
        let end = ended.then_some(End { stop, sent: self.sent });
        (!text.is_empty() || ended).then_some(Piece { text, end })
    }
}

impl Cursor for Generating {
    type Chunk = Piece;

    fn first(&mut self) -> i64 {
        // A token that no model has, for a prompt that there never is: the engine refuses it.
        self.prompt.first().copied().unwrap_or(-1)
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Piece>, EngineError> {
        self.read += 1;
        if let Some(token) = self.prompt.get(self.read) {
            return Ok(Step::Next { token: *token, emit: None });
        }
        let id = self.sampler.sample(logits)?;
        let character = self.vocabulary.character(id);
        let unknown = || EngineError::Runtime(format!("the model drew token {id}, which is no character"));
        self.left = self.left.saturating_sub(1);
        Ok(match self.stops.push(character.ok_or_else(unknown)?) {
            Passed::Stopped { text, stop } => Step::Done { emit: self.piece(text, true, Some(stop)) },
            Passed::Text(mut text) if self.left == 0 => {
                text += &self.stops.finish();
                Step::Done { emit: self.piece(text, true, None) }
            }
            Passed::Text(text) => {
                let token = i64::try_from(id).map_err(|_| unknown())?;
                Step::Next { token, emit: self.piece(text, false, None) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use atelier_engine::Sampling;

    use super::*;

    /// Runs a stream against a model that always gives the character after the one it is given.
    fn run(prompt: &str, stops: &[&str], max_chars: usize) -> (Vec<i64>, String, End) {
        let alphabet: Vec<char> = ('a'..='z').collect();
        let vocabulary = Vocabulary::new(&alphabet);
        let ids = prompt.chars().map(|c| vocabulary.id(c).unwrap() as i64).collect();
        let sampler = Sampler::new(Sampling::greedy(), 1);
        let mut stream = Generating::new(ids, vocabulary, sampler, StopMatcher::new(stops), max_chars);
        let (mut fed, mut out) = (vec![stream.first()], String::new());
        loop {
            let next = (*fed.last().unwrap() as usize + 1) % 26;
            let logits: Vec<f32> = (0..26).map(|id| if id == next { 1.0 } else { 0.0 }).collect();
            let (token, emit) = match stream.advance(&logits).unwrap() {
                Step::Next { token, emit } => (Some(token), emit),
                Step::Done { emit } => (None, emit),
                Step::Restart { .. } => panic!("a continuation has one start"),
            };
            if let Some(piece) = emit {
                assert!(!piece.text.is_empty() || piece.end.is_some(), "an empty piece");
                out += &piece.text;
                if let Some(end) = piece.end {
                    assert_eq!(token, None);
                    return (fed, out, end);
                }
            }
            fed.push(token.expect("an end is always told"));
        }
    }

    #[test]
    fn the_prompt_is_read_and_not_repeated() {
        let (fed, text, end) = run("xab", &[], 4);
        assert_eq!(fed, [23, 0, 1, 2, 3, 4]);
        assert_eq!((text.as_str(), end), ("cdef", End { stop: None, sent: 4 }));
    }

    #[test]
    fn a_stop_string_ends_the_text_before_it() {
        let (_, text, end) = run("a", &["zz", "fgh"], 100);
        assert_eq!((text.as_str(), end), ("bcde", End { stop: Some(1), sent: 4 }));
    }

    #[test]
    fn a_stop_string_in_the_prompt_or_across_its_end_does_not_count() {
        let (_, text, end) = run("abc", &["abc", "cd"], 3);
        assert_eq!((text.as_str(), end), ("def", End { stop: None, sent: 3 }));
    }

    #[test]
    fn what_is_held_back_at_the_end_is_sent() {
        let (_, text, end) = run("a", &["defgh"], 5);
        assert_eq!((text.as_str(), end), ("bcdef", End { stop: None, sent: 5 }));
        let (_, text, end) = run("a", &["bc"], 2);
        assert_eq!((text.as_str(), end), ("", End { stop: Some(0), sent: 0 }));
    }
}
