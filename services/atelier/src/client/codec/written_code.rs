//! Codes as JSON: what `encode` and `sample` write, or a bare list of numbers.

use std::path::Path;

use atelier_proto::codec::v1::Code;
use serde_json::{Deserializer, Value};

use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArg;

/// Where an object may have its code, the first that is there.
const FIELDS: [&str; 3] = ["code", "sample", "mean"];

/// A code, and the name of the image and the model that it is of, where they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrittenCode {
    pub(super) image: Option<String>,
    pub(super) model: ModelArg,
    pub(super) code: Code,
}

/// Every code of a text of JSON values.
///
/// # Errors
/// `BadInput` naming the value that is none, or where there is no value at all.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Vec<WrittenCode>, Failure> {
    let wrong = |what: String| Failure::bad_input(format!("{}: {what}", path.display()));
    let mut codes = Vec::new();
    for (number, value) in (1..).zip(Deserializer::from_slice(text).into_iter::<Value>()) {
        let value = value.map_err(|e| wrong(format!("code {number} is not JSON: {e}")))?;
        codes.push(read(&value).map_err(|what| wrong(format!("code {number} {what}")))?);
    }
    if codes.is_empty() {
        return Err(wrong(
            "has no code: write a list of numbers, or what `atelier codec encode` prints".into(),
        ));
    }
    Ok(codes)
}

/// Whether a file is meant to hold codes, and not an image: neither PNG nor JPEG begins like JSON.
pub(super) fn looks_like_code(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'[' | b'{'))
}

fn read(value: &Value) -> Result<WrittenCode, String> {
    let image = value.get("image").and_then(Value::as_str).map(str::to_owned);
    let list = match value {
        Value::Array(list) => list,
        Value::Object(fields) => FIELDS
            .iter()
            .find_map(|name| fields.get(*name).and_then(Value::as_array))
            .ok_or_else(|| format!("has none of the lists {}", FIELDS.join(", ")))?,
        _ => return Err("is neither a list of numbers nor an object with one".into()),
    };
    let number = |(index, value): (usize, &Value)| {
        // The API's codes have single precision.
        let number = value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
        number.ok_or_else(|| format!("has {value} at {index}, which is no number of single precision"))
    };
    let values = list.iter().enumerate().map(number).collect::<Result<_, _>>()?;
    Ok(WrittenCode { image, model: model(value)?, code: Code { values } })
}

/// The model that a code is of; the default where it does not say.
fn model(code: &Value) -> Result<ModelArg, String> {
    let Some(model) = code.get("model").filter(|model| !model.is_null()) else {
        return Ok(ModelArg::default());
    };
    let name = model.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let version = model.get("version").map_or(Some(0), Value::as_u64).and_then(|v| u32::try_from(v).ok());
    match (name, version) {
        (Some(name), Some(version)) => Ok(ModelArg { name: name.to_owned(), version }),
        _ => Err(format!("has the model {model}, which is no object with a name and a version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<WrittenCode>, String> {
        parse(Path::new("c.json"), text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn lists_and_lines_of_encode_are_read() {
        let codes = of("[1, -2.5]\n{\"image\":\"a.png\",\"mean\":[3],\"log_variance\":[9]}\n").unwrap();
        let code = |values: &[f32]| Code { values: values.to_vec() };
        let model = ModelArg::default();
        assert_eq!(codes[0], WrittenCode { image: None, model: model.clone(), code: code(&[1.0, -2.5]) });
        assert_eq!(codes[1], WrittenCode { image: Some("a.png".into()), model, code: code(&[3.0]) });
    }

    #[test]
    fn a_code_may_say_which_model_it_is_of() {
        let model = |model: &str| {
            of(&format!("{{\"mean\": [1], \"model\": {model}}}")).map(|codes| codes[0].model.to_string())
        };
        assert_eq!(model(r#"{"name": "a", "version": 2}"#), Ok("a@2".into()));
        assert_eq!(model(r#"{"name": "a"}"#), Ok("a".into()));
        assert_eq!(model("null"), Ok(String::new()));
        for wrong in ["\"a\"", "{}", r#"{"name": ""}"#, r#"{"name": "a", "version": "x"}"#] {
            assert!(model(wrong).unwrap_err().contains("code 1 has the model "), "{wrong}");
        }
    }

    #[test]
    fn a_code_that_was_drawn_goes_before_its_mean() {
        let codes = of("{\"mean\": [1], \"sample\": [2]}").unwrap();
        assert_eq!(codes[0].code.values, [2.0]);
    }

    #[test]
    fn what_is_no_code_is_named() {
        assert!(of("").unwrap_err().starts_with("c.json: has no code"));
        assert!(of("[1]\n[1, \"x\"]").unwrap_err().contains("code 2 has \"x\" at 1"));
        assert!(of("[1e39]").unwrap_err().contains("code 1 has"));
        assert!(of("{\"codes\": [1]}").unwrap_err().contains("none of the lists"));
        assert!(of("[1").unwrap_err().contains("code 1 is not JSON"));
        assert!(of("7").unwrap_err().contains("neither"));
    }
}
