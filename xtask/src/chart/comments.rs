//! Values and the comments above them, read line by line: a YAML parser would throw the comments away.

use anyhow::{Result, bail};

/// A value that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path: `roleDefaults.rollout.maxSurge`.
    pub(super) path: String,
    /// What it is where nothing is said, as one line of YAML; empty for a mapping of further values.
    pub(super) default: String,
    /// The comment right above it, as one line of Markdown.
    pub(super) comment: String,
}

/// The values of a file in order. It must be plain: two spaces a level, lists on one line, no anchors, no
/// block scalars.
///
/// # Errors
/// The first line that is none of this.
pub(super) fn entries(yaml: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut above: Vec<String> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for (number, line) in yaml.lines().enumerate() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        if text.is_empty() {
            comment.clear();
        } else if let Some(text) = text.strip_prefix('#') {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if let Some((key, default)) = value(text) {
            above.truncate(depth);
            above.push(key.to_owned());
            entries.push(Entry {
                path: above.join("."),
                default: default.trim().to_owned(),
                comment: markdown(&comment),
            });
            comment.clear();
        } else {
            bail!("line {} is no value: {line:?}", number + 1);
        }
    }
    Ok(entries)
}

/// A key and what it is set to. Lists must be on one line.
fn value(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(key, _)| !key.starts_with("- "))
}

/// The lines of a comment as one; `*` begins a point of a list.
fn markdown(lines: &[&str]) -> String {
    let mut one = String::new();
    for line in lines {
        match line.strip_prefix("* ") {
            Some(point) if one.is_empty() => one.push_str(&format!("• {point}")),
            Some(point) => one.push_str(&format!("<br>• {point}")),
            None if one.is_empty() => one.push_str(line),
            None => one.push_str(&format!(" {}", line.trim_start())),
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, default: &str, comment: &str) -> Entry {
        Entry { path: path.into(), default: default.into(), comment: comment.into() }
    }

    #[test]
    fn values_come_with_their_path_their_default_and_the_comment_above() {
        let yaml = "# About nobody.\n\n# The door,\n# and more.\ngateway:\n  # * `a`: one\n  #   thing.\n  \
                    # * `b`: another.\n  as: a\n  port: 1\nname: \"\"\n";
        let expected = [
            entry("gateway", "", "The door, and more."),
            entry("gateway.as", "a", "• `a`: one thing.<br>• `b`: another."),
            entry("gateway.port", "1", ""),
            entry("name", "\"\"", ""),
        ];
        assert_eq!(entries(yaml).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for line in ["what", "  - key: gpu"] {
            let error = entries(&format!("a: 1\n{line}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("line 2 is no value: {line:?}"));
        }
    }
}
