use std::time::Duration;

use atelier_chassis::Deadline;
use atelier_proto::text::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::*;

/// INVALID_ARGUMENT that names `field` and says `right`.
fn invalid<T>(answer: Result<Response<T>, Status>, field: &str, right: &str) {
    let status = refused(answer);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
    assert_eq!(violation.field, field, "{status:?}");
    assert!(violation.description.contains(right), "{:?} does not say {right:?}", violation.description);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_of_generate_is_refused_by_name() {
    let text = text();
    let good = || GenerateRequest { prompt: "a".into(), max_chars: Some(3), ..Default::default() };
    let cases = [
        (GenerateRequest { prompt: "aXb".into(), ..good() }, "prompt", "'X' at 1"),
        (GenerateRequest { prompt: "a".repeat(100_001), ..good() }, "prompt", "at most 100000"),
        (GenerateRequest { max_chars: Some(0), ..good() }, "max_chars", "1 to 100000"),
        (GenerateRequest { max_chars: Some(100_001), ..good() }, "max_chars", "1 to 100000"),
        (GenerateRequest { temperature: Some(5.5), ..good() }, "temperature", "0 to 5"),
        (GenerateRequest { temperature: Some(f32::NAN), ..good() }, "temperature", "0 to 5"),
        (GenerateRequest { top_k: Some(0), ..good() }, "top_k", "1 or more"),
        (GenerateRequest { top_p: Some(0.0), ..good() }, "top_p", "more than 0"),
        (GenerateRequest { top_p: Some(1.5), ..good() }, "top_p", "at most 1"),
        (GenerateRequest { stop: vec!["a".into(); 17], ..good() }, "stop", "at most 16"),
        (GenerateRequest { stop: vec!["a".into(), "".into()], ..good() }, "stop[1]", "1 to 256"),
        (GenerateRequest { stop: vec!["a".repeat(257)], ..good() }, "stop[0]", "1 to 256"),
        (GenerateRequest { unknown_characters: 7, ..good() }, "unknown_characters", "is 7"),
    ];
    for (request, field, right) in cases {
        invalid(text.generate(Request::new(request)).await, field, right);
    }
    assert!(text.generate(Request::new(good())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_of_score_is_refused_by_name() {
    let text = text();
    let good = || ScoreRequest { text: "ab".into(), ..Default::default() };
    let cases = [
        (ScoreRequest { text: "".into(), ..good() }, "text", "is empty"),
        (ScoreRequest { text: "".into(), context: "a".into(), ..good() }, "text", "is empty"),
        (ScoreRequest { text: "a".into(), ..good() }, "text", "without a `context` 2 or more"),
        (ScoreRequest { text: "a\u{7}".into(), ..good() }, "text", "'\\u{7}' at 1"),
        (ScoreRequest { context: "X".into(), ..good() }, "context", "'X' at 0"),
        (ScoreRequest { text: "a".repeat(100_001), ..good() }, "text", "at most 100000"),
        (ScoreRequest { context: "a".repeat(100_001), ..good() }, "context", "at most 100000"),
        (ScoreRequest { unknown_characters: -1, ..good() }, "unknown_characters", "is -1"),
    ];
    for (request, field, right) in cases {
        invalid(text.score(Request::new(request)).await, field, right);
    }
    assert!(text.score(Request::new(good())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_or_version_is_not_found_and_comes_with_what_exists() {
    let text = text();
    let request = GenerateRequest { model: "nrn".into(), ..Default::default() };
    let status = refused(text.generate(Request::new(request)).await);
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no model \"nrn\"; there is: rnn"));
    let request = ScoreRequest { model: "rnn".into(), version: 3, text: "ab".into(), ..Default::default() };
    let status = refused(text.score(Request::new(request)).await);
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no version \"rnn/3\"; there is: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_decoder_cannot_take_is_refused_before_the_stream_begins() {
    let engine = engine(Config { slots: 1, waiting: 0, ..Config::default() });
    let text = Text::new(engine.clone());
    let long = || Request::new(GenerateRequest { max_chars: Some(100_000), ..Default::default() });
    let mut late = long();
    late.extensions_mut().insert(Deadline::after(Duration::ZERO).unwrap());
    assert_eq!(refused(text.generate(late).await).code(), Code::DeadlineExceeded);

    let mut taken = text.generate(long()).await.unwrap().into_inner();
    for _ in 0..2 {
        taken.next().await.unwrap().unwrap();
    }
    let status = refused(text.generate(long()).await);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_error_details().retry_info().is_some());
    let request = ScoreRequest { text: "ab".into(), ..Default::default() };
    assert_eq!(refused(text.score(Request::new(request)).await).code(), Code::ResourceExhausted);
    drop(taken);

    engine.shutdown(Duration::from_secs(5)).await;
    assert_eq!(refused(text.generate(long()).await).code(), Code::Unavailable);
}
