//! The fields of requests, checked. An error names the field by its path and says what would be right.

use atelier_chassis::ServiceError;
use atelier_engine::Sampling;
use atelier_proto::text::v1 as api;

use crate::stop::StopMatcher;
use crate::vocabulary::{Encoded, Unknown, Vocabulary};

/// The most characters that are read or made at a time.
pub(crate) const MAX_CHARS: u32 = 100_000;
/// The most stop strings.
const MAX_STOPS: usize = 16;
/// The most characters in each.
const MAX_STOP_CHARS: usize = 256;

/// A text of the request in token ids.
pub(crate) fn text(
    field: &str,
    text: &str,
    vocabulary: &Vocabulary,
    unknown: Unknown,
) -> Result<Encoded, ServiceError> {
    let count = text.chars().count();
    if count > MAX_CHARS as usize {
        let message = format!("has {count} characters, but at most {MAX_CHARS} are right");
        return Err(ServiceError::invalid(field, message));
    }
    vocabulary.encode(text, unknown).map_err(|error| ServiceError::invalid(field, error.to_string()))
}

/// What to do with unknown characters.
pub(crate) fn unknown_characters(value: i32) -> Result<Unknown, ServiceError> {
    match api::UnknownCharacters::try_from(value) {
        Ok(api::UnknownCharacters::Unspecified | api::UnknownCharacters::Refuse) => Ok(Unknown::Refuse),
        Ok(api::UnknownCharacters::Replace) => Ok(Unknown::Replace),
        Err(_) => Err(ServiceError::invalid(
            "unknown_characters",
            format!("is {value}, but 0 to 2 are what there is"),
        )),
    }
}

/// How many characters to make at most.
pub(crate) fn max_chars(value: Option<u32>) -> Result<usize, ServiceError> {
    match value.unwrap_or(500) {
        n @ 1..=MAX_CHARS => Ok(n as usize),
        n => Err(ServiceError::invalid("max_chars", format!("is {n}, but 1 to {MAX_CHARS} is right"))),
    }
}

/// How to draw.
pub(crate) fn sampling(request: &api::GenerateRequest) -> Result<Sampling, ServiceError> {
    let temperature = request.temperature.unwrap_or(0.8);
    // NaN is in no range.
    if !(0.0..=5.0).contains(&temperature) {
        let message = format!("is {temperature}, but 0 to 5 is right (0: always the likeliest character)");
        return Err(ServiceError::invalid("temperature", message));
    }
    let top_k = match request.top_k {
        Some(0) => return Err(ServiceError::invalid("top_k", "is 0, but 1 or more is right (absent: all)")),
        top_k => top_k.map_or(0, |k| k as usize),
    };
    let top_p = request.top_p.unwrap_or(1.0);
    if !(top_p > 0.0 && top_p <= 1.0) {
        let message = format!("is {top_p}, but more than 0 and at most 1 is right");
        return Err(ServiceError::invalid("top_p", message));
    }
    Ok(Sampling::new(f64::from(temperature), top_k, f64::from(top_p))?)
}

/// What ends the text.
pub(crate) fn stops(stops: &[String]) -> Result<StopMatcher, ServiceError> {
    if stops.len() > MAX_STOPS {
        let message = format!("has {} strings, but at most {MAX_STOPS} are right", stops.len());
        return Err(ServiceError::invalid("stop", message));
    }
    for (i, stop) in stops.iter().enumerate() {
        let count = stop.chars().count();
        if !(1..=MAX_STOP_CHARS).contains(&count) {
            let message = format!("has {count} characters, but 1 to {MAX_STOP_CHARS} are right");
            return Err(ServiceError::invalid(format!("stop[{i}]"), message));
        }
    }
    Ok(StopMatcher::new(stops))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T>(result: Result<T, ServiceError>) -> String {
        match result {
            Err(ServiceError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other}"),
            Ok(_) => "-".to_owned(),
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let request = api::GenerateRequest::default;
        for t in [-0.1, 5.1, f32::NAN, f32::INFINITY] {
            let request = api::GenerateRequest { temperature: Some(t), ..request() };
            assert_eq!(field(sampling(&request)), "temperature", "{t}");
        }
        for p in [0.0, -1.0, 1.01, f32::NAN] {
            let request = api::GenerateRequest { top_p: Some(p), ..request() };
            assert_eq!(field(sampling(&request)), "top_p", "{p}");
        }
        assert_eq!(field(sampling(&api::GenerateRequest { top_k: Some(0), ..request() })), "top_k");
        assert_eq!(field(sampling(&request())), "-");
        assert_eq!(field(max_chars(Some(0))), "max_chars");
        assert_eq!(field(max_chars(Some(100_001))), "max_chars");
        assert_eq!(max_chars(None), Ok(500));
        assert_eq!(field(unknown_characters(3)), "unknown_characters");
        assert_eq!(field(unknown_characters(-1)), "unknown_characters");
    }

    #[test]
    fn stop_strings_are_bounded_in_number_and_length() {
        assert_eq!(field(stops(&vec!["a".into(); 17])), "stop");
        assert_eq!(field(stops(&["a".into(), String::new()])), "stop[1]");
        assert_eq!(field(stops(&["é".repeat(257)])), "stop[0]");
        assert_eq!(field(stops(&vec!["é".repeat(256); 16])), "-");
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_before_its_characters_are_looked_at() {
        let vocabulary = Vocabulary::new(&['a']);
        let error = text("prompt", &"b".repeat(100_001), &vocabulary, Unknown::Refuse).unwrap_err();
        assert_eq!(error.to_string(), "prompt: has 100001 characters, but at most 100000 are right");
        assert!(text("prompt", &"a".repeat(100_000), &vocabulary, Unknown::Refuse).is_ok());
    }
}
