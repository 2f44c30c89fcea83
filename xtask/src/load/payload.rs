//! Payloads: what profiles say by name, such as a picture, is put in as protobuf's JSON has it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Where payloads come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// What `$file` is relative to.
    pub(crate) workspace: PathBuf,
    /// The picture that `$face` stands for.
    pub(crate) face: Option<PathBuf>,
}

impl Sources {
    /// The payload with everything put in: `{"$file": PATH}` is the file in base64, `{"$face": true}` the
    /// caller's picture, `{"$telemetry": {columns, first, rows}}` rows of a channel.
    ///
    /// # Errors
    /// One line: a file cannot be read, or there is no such word.
    pub(crate) fn fill(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => {
                if let Some((word, argument)) = fields.iter().find(|(name, _)| name.starts_with('$')) {
                    return self.word(word, argument);
                }
                fields.iter().map(|(name, value)| Ok((name.clone(), self.fill(value)?))).collect()
            }
            other => Ok(other.clone()),
        }
    }

    fn word(&self, word: &str, argument: &Value) -> Result<Value> {
        match (word, argument) {
            ("$file", Value::String(path)) => base64(&self.workspace.join(path)),
            ("$face", Value::Bool(true)) => base64(self.face.as_ref().context("$face needs --face FILE")?),
            ("$telemetry", Value::Object(_)) => {
                let number =
                    |name: &str| argument[name].as_u64().with_context(|| format!("$telemetry: {name}?"));
                Ok(telemetry(number("columns")?, number("first")?, number("rows")?))
            }
            _ => bail!("{word} {argument} is none of $file = \"PATH\", $face = true, $telemetry = {{..}}"),
        }
    }
}

fn base64(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Value::String(STANDARD.encode(bytes)))
}

/// Rows of a channel: a slow wave, and one command after another, each for five rows of twenty.
fn telemetry(columns: u64, first: u64, rows: u64) -> Value {
    let row = |time: u64| {
        let wave = 0.5 + 0.4 * (time as f64 * std::f64::consts::TAU / 60.0).sin();
        let command = |column: u64| f64::from(time % 20 < 5 && time / 20 % (columns - 1) == column - 1);
        let values: Vec<f64> = std::iter::once(wave).chain((1..columns).map(command)).collect();
        json!({ "values": values })
    };
    (first..first + rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(workspace: &Path) -> Sources {
        Sources { workspace: workspace.to_owned(), face: None }
    }

    #[test]
    fn files_are_put_in_as_base64_wherever_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), b"\xff\x00").unwrap();
        let given = json!([{ "image": { "data": { "$file": "a.png" } }, "n": 3 }]);
        let filled = sources(folder.path()).fill(&given).unwrap();
        assert_eq!(filled, json!([{ "image": { "data": "/wA=" }, "n": 3 }]));
    }

    #[test]
    fn what_cannot_be_put_in_is_named() {
        let said = |value| sources(Path::new("/nowhere")).fill(&value).unwrap_err().to_string();
        assert_eq!(said(json!({ "$file": "a.png" })), "cannot read /nowhere/a.png");
        assert_eq!(said(json!({ "$face": true })), "$face needs --face FILE");
        assert!(said(json!({ "$sound": "a.wav" })).starts_with("$sound \"a.wav\" is none of"));
    }

    #[test]
    fn a_channel_cut_in_two_is_the_same_channel() {
        let whole = telemetry(25, 0, 40);
        let halves = [telemetry(25, 0, 20), telemetry(25, 20, 20)];
        let joined: Vec<Value> = halves.iter().flat_map(|half| half.as_array().unwrap().clone()).collect();
        assert_eq!(whole, Value::Array(joined));
        let values = whole[21]["values"].as_array().unwrap();
        assert_eq!((values.len(), &values[2]), (25, &json!(1.0)));
    }
}
