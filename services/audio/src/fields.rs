//! The fields of requests, checked. An error names the field by its path and says what would be right.

use atelier_chassis::ServiceError;
use atelier_package::Audio;
use atelier_proto::audio::v1::AudioEncoding;
use atelier_transforms::speech::{TEMPERATURE, VARIATION};

/// The most digits that are said at a time.
const MAX_DIGITS: usize = 64;
/// The most characters that are looked at: every digit with some spaces.
const MAX_CHARS: usize = 1024;
/// The longest silence between two digits, in milliseconds.
const MAX_PAUSE: u32 = 2000;
/// The most characters of a wrong name that are repeated in the answer: as many as a name may have.
const SHOWN: usize = 64;

/// The digits of a text, by their places in `[audio]`.
pub(crate) fn text(text: &str, audio: &Audio) -> Result<Vec<usize>, ServiceError> {
    let wrong = |message: String| Err(ServiceError::invalid("text", message));
    if text.len() > MAX_CHARS {
        return wrong(format!("has {} bytes, but at most {MAX_CHARS} are right", text.len()));
    }
    let mut digits = Vec::with_capacity(text.len());
    for (at, c) in text.chars().enumerate().filter(|(_, c)| *c != ' ') {
        let Some(digit) = audio.digit(c) else {
            let known: String = audio.digits.iter().collect();
            let (c, known) = (c.escape_debug(), known.escape_debug());
            return wrong(format!(
                "has '{c}' at {at}, but this model says the digits {known}, with spaces between them"
            ));
        };
        digits.push(digit);
    }
    match digits.len() {
        1..=MAX_DIGITS => Ok(digits),
        0 => wrong("is empty, but 1 to 64 digits are right".into()),
        n => wrong(format!("has {n} digits, but 1 to {MAX_DIGITS} are right")),
    }
}

/// The place of a speaker in `[audio]`.
pub(crate) fn speaker(name: &str, audio: &Audio) -> Result<usize, ServiceError> {
    if name.is_empty() {
        return Ok(0);
    }
    audio.speaker(name).ok_or_else(|| {
        let shown: String = name.chars().take(SHOWN).collect();
        ServiceError::not_found("speaker", shown, audio.speakers.iter().map(|s| s.name.as_str()))
    })
}

/// What logits are divided by.
pub(crate) fn temperature(value: Option<f32>) -> Result<f64, ServiceError> {
    let temperature = value.unwrap_or(TEMPERATURE);
    // NaN is in no range.
    match (0.0..=2.0).contains(&temperature) {
        true => Ok(f64::from(temperature)),
        false => {
            let message = format!("is {temperature}, but 0 to 2 is right (0: always the likeliest sample)");
            Err(ServiceError::invalid("temperature", message))
        }
    }
}

/// What the random numbers of plans are multiplied by, for a model that plans or that does not.
pub(crate) fn variation(value: Option<f32>, plans: bool) -> Result<f32, ServiceError> {
    let wrong = |message| Err(ServiceError::invalid("variation", message));
    match value {
        Some(_) if !plans => {
            wrong("is given, but this model does not plan what it says: leave it out".into())
        }
        Some(variation) if !(0.0..=1.5).contains(&variation) => {
            wrong(format!("is {variation}, but 0 to 1.5 is right (0: always the most usual way)"))
        }
        value => Ok(value.unwrap_or(VARIATION)),
    }
}

/// The silence between two digits, in samples.
pub(crate) fn pause(value: Option<u32>, audio: &Audio) -> Result<usize, ServiceError> {
    match value.unwrap_or(100) {
        // At most 2,000 ms of 192,000 samples a second.
        ms @ 0..=MAX_PAUSE => Ok((u64::from(ms) * u64::from(audio.sample_rate) / 1000) as usize),
        ms => Err(ServiceError::invalid("pause_ms", format!("is {ms}, but 0 to {MAX_PAUSE} is right"))),
    }
}

/// How the sound is written: WAV or PCM16.
pub(crate) fn encoding(value: i32) -> Result<AudioEncoding, ServiceError> {
    match AudioEncoding::try_from(value) {
        Ok(AudioEncoding::Unspecified | AudioEncoding::Wav) => Ok(AudioEncoding::Wav),
        Ok(AudioEncoding::Pcm16) => Ok(AudioEncoding::Pcm16),
        Err(_) => Err(ServiceError::invalid("encoding", format!("is {value}, but 0 to 2 are what there is"))),
    }
}

#[cfg(test)]
mod tests {
    use atelier_package::Speaker;

    use super::*;

    fn audio() -> Audio {
        let speaker = |name: &str| Speaker { name: name.into(), gain: 1.0, durations: vec![] };
        Audio {
            sample_rate: 8000,
            levels: 256,
            digits: vec!['0', '1', '7'],
            speakers: vec![speaker("george"), speaker("theo")],
        }
    }

    fn field<T>(result: Result<T, ServiceError>) -> String {
        match result {
            Err(ServiceError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other}"),
            Ok(_) => "-".to_owned(),
        }
    }

    #[test]
    fn a_text_is_its_digits_and_spaces_are_passed_over() {
        assert_eq!(text(" 17 0 ", &audio()), Ok(vec![1, 2, 0]));
        assert_eq!(text(&"1 ".repeat(64), &audio()).map(|digits| digits.len()), Ok(64));
        for (wrong, says) in [
            ("", "text: is empty, but 1 to 64 digits are right"),
            ("   ", "text: is empty, but 1 to 64 digits are right"),
            ("1 2", "text: has '2' at 2, but this model says the digits 017, with spaces between them"),
            ("1\n7", "text: has '\\n' at 1, but this model says the digits 017, with spaces between them"),
            ("-1", "text: has '-' at 0, but this model says the digits 017, with spaces between them"),
            (
                "\u{661}",
                "text: has '\u{661}' at 0, but this model says the digits 017, with spaces between them",
            ),
        ] {
            assert_eq!(text(wrong, &audio()).unwrap_err().to_string(), says);
        }
        let long = text(&"1".repeat(65), &audio()).unwrap_err().to_string();
        assert_eq!(long, "text: has 65 digits, but 1 to 64 are right");
        let longer = text(&"x".repeat(1025), &audio()).unwrap_err().to_string();
        assert_eq!(longer, "text: has 1025 bytes, but at most 1024 are right");
    }

    #[test]
    fn a_speaker_that_there_is_not_comes_with_those_that_there_are() {
        assert_eq!((speaker("", &audio()), speaker("theo", &audio())), (Ok(0), Ok(1)));
        let unknown = speaker("Theo", &audio()).unwrap_err();
        assert_eq!(unknown, ServiceError::not_found("speaker", "Theo", ["george", "theo"]));
        assert!(speaker(&"x".repeat(10_000), &audio()).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for t in [-0.1, 2.1, f32::NAN, f32::INFINITY] {
            assert_eq!(field(temperature(Some(t))), "temperature", "{t}");
        }
        assert_eq!((temperature(Some(0.0)), temperature(Some(2.0))), (Ok(0.0), Ok(2.0)));
        assert_eq!(temperature(None), Ok(f64::from(0.95_f32)));
        for v in [f32::NAN, -0.1, 1.6] {
            assert_eq!(field(variation(Some(v), true)), "variation", "{v}");
        }
        assert_eq!((variation(Some(0.0), true), variation(None, true)), (Ok(0.0), Ok(1.0)));
        assert_eq!(
            (field(variation(Some(1.0), false)), variation(None, false)),
            ("variation".into(), Ok(1.0))
        );
        assert_eq!(field(pause(Some(2001), &audio())), "pause_ms");
        assert_eq!((pause(None, &audio()), pause(Some(0), &audio())), (Ok(800), Ok(0)));
        assert_eq!(field(encoding(3)), "encoding");
        assert_eq!(field(encoding(-1)), "encoding");
        assert_eq!(encoding(0), Ok(AudioEncoding::Wav));
    }
}
