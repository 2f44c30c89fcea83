//! Plain text, character by character, such as tinyshakespeare (Karpathy 2015): the first nine tenths are
//! trained on, the rest is what results are reported on, and what a run shows its course on: there is no third part.

use std::path::Path;

use super::DataError;

/// A text as ids of its characters.
#[derive(Debug)]
pub struct Text {
    /// The distinct characters of the whole text, in Unicode order: a character's id is its place here.
    pub vocabulary: Vec<char>,
    /// The first 90 %, as ids.
    pub train: Vec<i64>,
    /// The last 10 %, as ids.
    pub test: Vec<i64>,
}

impl Text {
    /// Reads `dir/text/FILE` or `dir/FILE`.
    ///
    /// # Errors
    /// Names the file when it is missing, not UTF-8, or too short to split.
    pub fn read(dir: &Path, file: &str) -> Result<Self, DataError> {
        let inner = dir.join("text").join(file);
        let path = if inner.is_file() { inner } else { dir.join(file) };
        let text = String::from_utf8(super::read(&path)?)
            .map_err(|e| DataError::malformed(&path, format!("not UTF-8: {e}")))?;
        let mut vocabulary: Vec<char> = text.chars().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let mut ids: Vec<i64> = Vec::with_capacity(text.len());
        for c in text.chars() {
            if let Ok(id) = vocabulary.binary_search(&c) {
                ids.push(id as i64);
            }
        }
        if ids.len() < 1000 {
            let message = format!("{} characters, at least 1000 are needed", ids.len());
            return Err(DataError::malformed(&path, message));
        }
        let test = ids.split_off(ids.len() * 9 / 10);
        Ok(Self { vocabulary, train: ids, test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_in_order_and_told_by_ids() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.txt"), "ab\n".repeat(400)).unwrap();
        let text = Text::read(dir.path(), "t.txt").unwrap();
        assert_eq!(text.vocabulary, ['\n', 'a', 'b']);
        assert_eq!((text.train.len(), text.test.len()), (1080, 120));
        assert_eq!(text.train[..4], [1, 2, 0, 1]);
    }

    #[test]
    fn a_text_that_is_too_short_or_not_text_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("short.txt"), "abc").unwrap();
        std::fs::write(dir.path().join("binary.txt"), [0xff, 0xfe]).unwrap();
        for (file, expected) in
            [("short.txt", "3 characters"), ("binary.txt", "not UTF-8"), ("none.txt", "No such")]
        {
            let message = Text::read(dir.path(), file).unwrap_err().to_string();
            assert!(message.contains(file) && message.contains(expected), "{message}");
        }
    }
}
