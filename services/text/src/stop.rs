//! Finds stop strings in a text that comes character by character.

/// Lets text through up to the first stop string, and not a character of that string.
///
/// What could still become a stop string is held back until it cannot any more. Of strings that end at the
/// same character the longest counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopMatcher {
    stops: Vec<Stop>,
    held: Vec<char>,
}

/// What a character led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// This much more text, perhaps none, is no part of a stop string.
    Text(String),
    /// A stop string is complete.
    Stopped {
        /// The last of the text before it.
        text: String,
        /// Which, by its place in the list.
        stop: usize,
    },
}

impl StopMatcher {
    /// For these strings; an empty one never matches.
    pub(crate) fn new<S: AsRef<str>>(stops: &[S]) -> Self {
        Self { stops: stops.iter().map(|stop| Stop::new(stop.as_ref())).collect(), held: Vec::new() }
    }

    /// Takes the next character. Not to be called after [`Passed::Stopped`].
    pub(crate) fn push(&mut self, character: char) -> Passed {
        self.held.push(character);
        let mut longest: Option<(usize, usize)> = None;
        let mut hold = 0;
        for (index, stop) in self.stops.iter_mut().enumerate() {
            let matched = stop.push(character);
            if matched == stop.pattern.len() && matched > longest.map_or(0, |(_, length)| length) {
                longest = Some((index, matched));
            }
            hold = hold.max(matched);
        }
        match longest {
            Some((stop, length)) => {
                let text = self.release(length);
                self.held.clear();
                Passed::Stopped { text, stop }
            }
            None => Passed::Text(self.release(hold)),
        }
    }

    /// What was held back, when no more will come.
    pub(crate) fn finish(&mut self) -> String {
        self.release(0)
    }

    /// All but the last `keep` characters of what is held.
    fn release(&mut self, keep: usize) -> String {
        let count = self.held.len().saturating_sub(keep);
        self.held.drain(..count).collect()
    }
}

/// One string, matched by Knuth, Morris and Pratt: constant time a character, however it repeats itself.
#[derive(Debug, Clone)]
struct Stop {
    pattern: Vec<char>,
    /// For each number of matched characters less one: how many stay matched where the next does not fit.
    fallback: Vec<usize>,
    matched: usize,
}

impl Stop {
    fn new(pattern: &str) -> Self {
        let pattern: Vec<char> = pattern.chars().collect();
        let mut stop = Self { fallback: Vec::with_capacity(pattern.len()), pattern, matched: 0 };
        // The pattern run through itself: what is matched before its i-th character is there by then.
        for i in 0..stop.pattern.len() {
            let matched = match stop.pattern.get(i) {
                Some(character) if i > 0 => stop.advance(*character),
                _ => 0,
            };
            stop.fallback.push(matched);
            stop.matched = matched;
        }
        stop.matched = 0;
        stop
    }

    fn push(&mut self, character: char) -> usize {
        self.matched = self.advance(character);
        self.matched
    }

    fn advance(&self, character: char) -> usize {
        let mut matched = self.matched;
        loop {
            if self.pattern.get(matched) == Some(&character) {
                return matched + 1;
            }
            match matched.checked_sub(1) {
                Some(last) => matched = self.fallback.get(last).copied().unwrap_or(0),
                None => return 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that is let through, and which string ended it.
    fn run(stops: &[&str], text: &str) -> (String, Option<usize>) {
        let mut matcher = StopMatcher::new(stops);
        let mut out = String::new();
        for character in text.chars() {
            match matcher.push(character) {
                Passed::Text(text) => out += &text,
                Passed::Stopped { text, stop } => return (out + &text, Some(stop)),
            }
        }
        (out + &matcher.finish(), None)
    }

    /// The same by looking at every prefix of the text.
    fn naive(stops: &[&str], text: &str) -> (String, Option<usize>) {
        for (end, c) in text.char_indices() {
            let so_far = &text[..end + c.len_utf8()];
            let ending = stops.iter().enumerate().filter(|(_, s)| !s.is_empty() && so_far.ends_with(**s));
            // `max_by_key` takes the last of equals; the first is meant.
            if let Some((i, stop)) = ending.rev().max_by_key(|(_, s)| s.chars().count()) {
                return (so_far.strip_suffix(stop).unwrap().to_owned(), Some(i));
            }
        }
        (text.to_owned(), None)
    }

    #[test]
    fn text_ends_before_the_first_string_to_appear() {
        assert_eq!(run(&["\n\n", "END"], "one\ntwo\n\nEND"), ("one\ntwo".into(), Some(0)));
        assert_eq!(run(&["abc", "b"], "xabc"), ("xa".into(), Some(1)));
        assert_eq!(run(&["b", "ab"], "xab"), ("x".into(), Some(1)));
    }

    #[test]
    fn what_may_become_a_stop_string_is_held_back_and_not_longer() {
        let mut matcher = StopMatcher::new(&["aab"]);
        assert_eq!(matcher.push('a'), Passed::Text("".into()));
        assert_eq!(matcher.push('a'), Passed::Text("".into()));
        assert_eq!(matcher.push('a'), Passed::Text("a".into()));
        assert_eq!(matcher.push('c'), Passed::Text("aac".into()));
        assert_eq!(matcher.push('a'), Passed::Text("".into()));
        assert_eq!(matcher.finish(), "a");
    }

    #[test]
    fn without_stop_strings_everything_passes_at_once() {
        let mut matcher = StopMatcher::new::<&str>(&[]);
        assert_eq!(matcher.push('é'), Passed::Text("é".into()));
    }

    fn stops() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[abé]{1,5}", 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_matcher_agrees_with_a_naive_search(stops in stops(), text in "[abé]{0,40}") {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stops, &text), naive(&stops, &text));
        }

        #[test]
        fn exactly_what_could_become_a_stop_string_is_held(stops in stops(), text in "[abé]{0,40}") {
            let mut matcher = StopMatcher::new(&stops);
            let (mut seen, mut sent) = (String::new(), String::new());
            for character in text.chars() {
                seen.push(character);
                let Passed::Text(text) = matcher.push(character) else { break };
                sent += &text;
                let held = seen.strip_prefix(&sent).unwrap();
                let could = |tail: &str| stops.iter().any(|s| s.len() > tail.len() && s.starts_with(tail));
                let longest = seen.char_indices().map(|(i, _)| &seen[i..]).find(|tail| could(tail));
                prop_assert_eq!(held, longest.unwrap_or(""));
            }
        }
    }
}
