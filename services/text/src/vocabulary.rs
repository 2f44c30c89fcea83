//! The characters of a model and their token ids.

use std::collections::HashMap;
use std::fmt;

/// Put in place of an unknown character: the first of these that the model knows.
pub(crate) const REPLACEMENTS: [char; 3] = ['\u{fffd}', '?', ' '];

/// How many unknown characters a message names.
const NAMED: usize = 5;

/// What to do with a character that the model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Fail, naming them.
    Refuse,
    /// Put the replacement in its place.
    Replace,
}

/// A text in token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// One for each character.
    pub(crate) ids: Vec<usize>,
    /// How many characters were replaced.
    pub(crate) replaced: usize,
}

/// Characters to ids and back.
#[derive(Debug, Clone)]
pub(crate) struct Vocabulary {
    characters: Vec<char>,
    ids: HashMap<char, usize>,
    replacement: Option<usize>,
}

impl Vocabulary {
    /// Of these characters, in the order of their ids.
    pub(crate) fn new(characters: &[char]) -> Self {
        let ids: HashMap<char, usize> = characters.iter().enumerate().map(|(id, c)| (*c, id)).collect();
        let replacement = REPLACEMENTS.iter().find_map(|c| ids.get(c).copied());
        Self { characters: characters.to_vec(), ids, replacement }
    }

    /// The character of an id.
    pub(crate) fn character(&self, id: usize) -> Option<char> {
        self.characters.get(id).copied()
    }

    /// The id of a character.
    pub(crate) fn id(&self, character: char) -> Option<usize> {
        self.ids.get(&character).copied()
    }

    /// The text in ids.
    pub(crate) fn encode(&self, text: &str, unknown: Unknown) -> Result<Encoded, UnknownCharacters> {
        let replacement = self.replacement.filter(|_| unknown == Unknown::Replace);
        let mut encoded = Encoded { ids: Vec::with_capacity(text.len()), replaced: 0 };
        let mut refused = UnknownCharacters::default();
        for (position, character) in text.chars().enumerate() {
            match (self.id(character), replacement) {
                (Some(id), _) => encoded.ids.push(id),
                (None, Some(id)) => {
                    encoded.replaced += 1;
                    encoded.ids.push(id);
                }
                (None, None) => refused.add(character, position),
            }
        }
        if refused.count == 0 {
            return Ok(encoded);
        }
        refused.no_replacement = unknown == Unknown::Replace;
        refused.known = self.describe();
        Err(refused)
    }

    /// The characters for people, in order, runs of neighbours as `a-z`.
    fn describe(&self) -> String {
        let mut sorted = self.characters.clone();
        sorted.sort_unstable();
        let mut text = String::new();
        for run in sorted.chunk_by(|a, b| u32::from(*a) + 1 == u32::from(*b)) {
            match run {
                [first, _, _, .., last] => {
                    text.extend(first.escape_debug());
                    text.push('-');
                    text.extend(last.escape_debug());
                }
                few => few.iter().for_each(|c| text.extend(c.escape_debug())),
            }
        }
        text
    }
}

/// Characters that the model does not know: the first few different ones, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnknownCharacters {
    named: Vec<(char, usize)>,
    count: usize,
    no_replacement: bool,
    known: String,
}

impl UnknownCharacters {
    fn add(&mut self, character: char, position: usize) {
        self.count += 1;
        if self.named.len() < NAMED && !self.named.iter().any(|(c, _)| *c == character) {
            self.named.push((character, position));
        }
    }
}

impl fmt::Display for UnknownCharacters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "has {} character", self.count)?;
        f.write_str(if self.count == 1 { "" } else { "s" })?;
        f.write_str(" that the model does not know: ")?;
        for (i, (character, position)) in self.named.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            // `escape_default` leaves nothing that a terminal would act upon.
            write!(f, "{comma}'{}' at {position}", character.escape_default())?;
        }
        if self.count > self.named.len() {
            f.write_str(" …")?;
        }
        write!(f, " (counted from 0); it knows {}", self.known)?;
        if self.no_replacement {
            f.write_str(", and so has none to put in place of others")
        } else {
            f.write_str("; UNKNOWN_CHARACTERS_REPLACE would replace them")
        }
    }
}

impl std::error::Error for UnknownCharacters {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vocabulary(characters: &str) -> Vocabulary {
        Vocabulary::new(&characters.chars().collect::<Vec<_>>())
    }

    fn decode(vocabulary: &Vocabulary, ids: &[usize]) -> String {
        ids.iter().map(|id| vocabulary.character(*id).unwrap()).collect()
    }

    #[test]
    fn unknown_characters_are_refused_by_name_and_place_and_escaped() {
        let v = vocabulary("abcdefghz \n?");
        let error = v.encode("a\u{1b}é\u{1b}b😀", Unknown::Refuse).unwrap_err();
        assert_eq!(
            error.to_string(),
            "has 4 characters that the model does not know: '\\u{1b}' at 1, '\\u{e9}' at 2, '\\u{1f600}' at 5 … \
             (counted from 0); it knows \\n ?a-hz; UNKNOWN_CHARACTERS_REPLACE would replace them"
        );
        let error = v.encode("A", Unknown::Refuse).unwrap_err();
        assert!(error.to_string().starts_with("has 1 character that the model does not know: 'A' at 0 ("));
    }

    #[test]
    fn a_long_foreign_text_names_only_the_first_few() {
        let greek: String = ('α'..='ω').cycle().take(90_000).collect();
        let message = vocabulary("ab").encode(&greek, Unknown::Refuse).unwrap_err().to_string();
        assert!(message.len() < 400, "{message}");
    }

    #[test]
    fn unknown_characters_are_replaced_and_counted_where_asked() {
        let v = vocabulary("ab ?");
        let encoded = v.encode("aéb😀", Unknown::Replace).unwrap();
        assert_eq!((decode(&v, &encoded.ids), encoded.replaced), ("a?b?".to_owned(), 2));
        let spaced = vocabulary("ab ");
        assert_eq!(decode(&spaced, &spaced.encode("é", Unknown::Replace).unwrap().ids), " ");
    }

    #[test]
    fn a_model_without_a_replacement_says_so() {
        let message = vocabulary("ab").encode("c", Unknown::Replace).unwrap_err().to_string();
        assert!(message.ends_with("it knows ab, and so has none to put in place of others"), "{message}");
    }

    proptest! {
        #[test]
        fn known_text_goes_there_and_back(text in "[a-z\u{e9}\u{1f600}\n]{0,60}") {
            let v = vocabulary("zyxwvutsrqponmlkjihgfedcba\u{e9}\u{1f600}\n");
            let encoded = v.encode(&text, Unknown::Refuse).unwrap();
            prop_assert_eq!(decode(&v, &encoded.ids), text);
            prop_assert_eq!(encoded.replaced, 0);
        }

        #[test]
        fn what_is_encoded_is_known_and_as_long_as_the_text(text in any::<String>()) {
            let v = vocabulary("abc?");
            let encoded = v.encode(&text, Unknown::Replace).unwrap();
            prop_assert_eq!(encoded.ids.len(), text.chars().count());
            prop_assert!(encoded.ids.iter().all(|id| *id < 4));
        }
    }
}
