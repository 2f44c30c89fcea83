//! Requests that are wrong: each with the code of the error table, the field, and what would be right.

use atelier_proto::codec::v1::waypoint::Point;
use atelier_proto::codec::v1::{
    Code as CodecCode, DecodeRequest, DenoiseRequest, EncodeRequest, InterpolateRequest, ReconstructRequest,
    SampleRequest, Waypoint,
};
use atelier_proto::models::v1::GetModelRequest;
use atelier_proto::text::v1::{GenerateRequest, ScoreRequest};
use atelier_tests::Fleet;
use atelier_tests::client::{blamed, with_header};
use atelier_tests::models::{names, versions};
use atelier_tests::pictures::{clothes, message};
use tonic::{Code, Status};

fn denoise(sigma: Option<f32>) -> DenoiseRequest {
    DenoiseRequest { image: message(&clothes()[0]), sigma, ..Default::default() }
}

fn code(values: Vec<f32>) -> Option<CodecCode> {
    Some(CodecCode { values })
}

#[tokio::test]
async fn a_noise_level_out_of_range_is_refused_with_the_range() {
    let fleet = Fleet::shared();
    for sigma in [-0.001, 0.56, 1e9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let status = fleet.codec().denoise(denoise(Some(sigma))).await.unwrap_err();
        assert_eq!(blamed(&status), "sigma", "{sigma}");
        assert!(status.message().contains("0 to 0.55"), "{}", status.message());
    }
    for sigma in [0.0, 0.55] {
        fleet.codec().denoise(denoise(Some(sigma))).await.unwrap();
    }
}

#[tokio::test]
async fn a_code_that_is_none_of_the_models_is_refused() {
    let fleet = Fleet::shared();
    let with = |at: usize, value| {
        let mut values = vec![0.0; 40];
        values[at] = value;
        code(values)
    };
    for (wrong, field, says) in [
        (None, "code", "40 values"),
        (code(vec![]), "code.values", "have 40"),
        (code(vec![0.0; 39]), "code.values", "has 39 values"),
        (code(vec![0.0; 1_000_000]), "code.values", "have 40"),
        (with(17, f32::NAN), "code.values", "value 17"),
        (with(0, f32::INFINITY), "code.values", "value 0"),
    ] {
        let request = DecodeRequest { code: wrong.clone(), ..Default::default() };
        let status = fleet.codec().decode(request).await.unwrap_err();
        assert_eq!(blamed(&status), field);
        assert!(status.message().contains(says), "{}", status.message());

        let Some(point) = wrong.map(Point::Code) else { continue };
        let request = InterpolateRequest {
            start: Some(Waypoint { point: with(0, 0.0).map(Point::Code) }),
            end: Some(Waypoint { point: Some(point) }),
            ..Default::default()
        };
        let status = fleet.codec().interpolate(request).await.unwrap_err();
        assert_eq!(blamed(&status), "end.code.values");
    }
    // Finite, but so far out that numbers run over within the model: an image or a refusal, and no fault.
    let request = DecodeRequest { code: code(vec![f32::MAX; 40]), ..Default::default() };
    if let Err(status) = fleet.codec().decode(request).await {
        assert_eq!(blamed(&status), "code.values");
    }
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_by_field() {
    let fleet = Fleet::shared();
    let sample = SampleRequest::default();
    for (request, field) in [
        (SampleRequest { count: Some(0), ..sample.clone() }, "count"),
        (SampleRequest { count: Some(65), ..sample.clone() }, "count"),
        (SampleRequest { temperature: Some(-0.1), ..sample.clone() }, "temperature"),
        (SampleRequest { temperature: Some(2.1), ..sample.clone() }, "temperature"),
        (SampleRequest { temperature: Some(f32::NAN), ..sample }, "temperature"),
    ] {
        assert_eq!(blamed(&fleet.codec().sample(request).await.unwrap_err()), field);
    }
    let end = || Some(Waypoint { point: code(vec![0.5; 40]).map(Point::Code) });
    let walk = InterpolateRequest { start: end(), end: end(), ..Default::default() };
    for (request, field) in [
        (InterpolateRequest { steps: Some(1), ..walk.clone() }, "steps"),
        (InterpolateRequest { steps: Some(257), ..walk.clone() }, "steps"),
        (InterpolateRequest { start: None, ..walk.clone() }, "start"),
        (InterpolateRequest { end: Some(Waypoint { point: None }), ..walk.clone() }, "end"),
        (InterpolateRequest { fit: 9, ..walk }, "fit"),
    ] {
        assert_eq!(blamed(&fleet.codec().interpolate(request).await.unwrap_err()), field);
    }
}

#[tokio::test]
async fn what_no_text_can_be_made_from_is_refused_by_field() {
    let fleet = Fleet::shared();
    let good = GenerateRequest { max_chars: Some(5), ..Default::default() };
    for (request, field) in [
        (GenerateRequest { max_chars: Some(0), ..good.clone() }, "max_chars"),
        (GenerateRequest { max_chars: Some(100_001), ..good.clone() }, "max_chars"),
        (GenerateRequest { temperature: Some(-0.1), ..good.clone() }, "temperature"),
        (GenerateRequest { temperature: Some(5.1), ..good.clone() }, "temperature"),
        (GenerateRequest { temperature: Some(f32::NAN), ..good.clone() }, "temperature"),
        (GenerateRequest { top_k: Some(0), ..good.clone() }, "top_k"),
        (GenerateRequest { top_p: Some(0.0), ..good.clone() }, "top_p"),
        (GenerateRequest { top_p: Some(1.5), ..good.clone() }, "top_p"),
        (GenerateRequest { stop: vec!["a".into(), String::new()], ..good.clone() }, "stop[1]"),
        (GenerateRequest { stop: vec!["a".repeat(257)], ..good.clone() }, "stop[0]"),
        (GenerateRequest { stop: vec!["a".into(); 17], ..good.clone() }, "stop"),
        (GenerateRequest { prompt: "a".repeat(100_001), ..good.clone() }, "prompt"),
        (GenerateRequest { prompt: "\0".into(), ..good.clone() }, "prompt"),
        (GenerateRequest { unknown_characters: 7, ..good.clone() }, "unknown_characters"),
    ] {
        assert_eq!(blamed(&fleet.write(request).await.unwrap_err()), field);
    }
    let score = |text: &str, context: &str| ScoreRequest {
        text: text.into(),
        context: context.into(),
        ..Default::default()
    };
    for (request, field) in [
        (score("", ""), "text"),
        (score("", "To be"), "text"),
        (score("T", ""), "text"),
        (score(&"a".repeat(100_001), ""), "text"),
        (score("To", &"a".repeat(100_001)), "context"),
        (score("To", "£"), "context"),
    ] {
        assert_eq!(blamed(&fleet.text().score(request).await.unwrap_err()), field);
    }
    assert_eq!(fleet.write(good).await.unwrap().finished.chars, 5);
}

fn is_not_found(status: &Status, what_exists: &str) {
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert!(status.message().contains(what_exists), "{}", status.message());
    assert!(status.message().len() < 500, "{}", status.message());
}

#[tokio::test]
async fn an_unknown_model_or_version_is_not_found_and_what_exists_is_named() {
    let fleet = Fleet::shared();
    for name in ["fashion-gan", "../fashion-dae", "fashion-dae/1", "FASHION-DAE", "\0", &"x".repeat(100_000)]
    {
        let request = DenoiseRequest { model: name.into(), ..denoise(None) };
        is_not_found(&fleet.codec().denoise(request).await.unwrap_err(), "there is: fashion-dae");
        let request = GenerateRequest { model: name.into(), ..Default::default() };
        is_not_found(&fleet.write(request).await.unwrap_err(), "there is: shakespeare-rnn");
    }
    for version in [99, u32::MAX] {
        let request = DenoiseRequest { version, ..denoise(None) };
        is_not_found(&fleet.codec().denoise(request).await.unwrap_err(), &versions("fashion-dae"));
        let request = ScoreRequest { text: "To be".into(), version, ..Default::default() };
        let existing = versions("shakespeare-rnn");
        is_not_found(&fleet.text().score(request).await.unwrap_err(), &existing);
    }
    let request = GetModelRequest { name: "fashion-gan".into(), version: 0 };
    let all = format!("there is: {}", names().join(", "));
    is_not_found(&fleet.models().get_model(request).await.unwrap_err(), &all);
    let request = GetModelRequest { name: "fashion-dae".into(), version: 5 };
    is_not_found(&fleet.models().get_model(request).await.unwrap_err(), &versions("fashion-dae"));
    let unnamed = fleet.models().get_model(GetModelRequest::default()).await.unwrap_err();
    assert_eq!(blamed(&unnamed), "name");
}

#[tokio::test]
async fn a_model_of_another_kind_is_refused_with_those_that_would_do() {
    let fleet = Fleet::shared();
    let (image, model) = (message(&clothes()[0]), "fashion-dae".to_owned());
    let mut codec = fleet.codec();
    let request = EncodeRequest { model: model.clone(), image: image.clone(), ..Default::default() };
    let mut refused = vec![(codec.encode(request).await.unwrap_err(), "fashion-vae")];
    let request = ReconstructRequest { model: model.clone(), image, ..Default::default() };
    refused.push((codec.reconstruct(request).await.unwrap_err(), "fashion-vae"));
    let request = SampleRequest { model, ..Default::default() };
    refused.push((codec.sample(request).await.unwrap_err(), "fashion-vae"));
    let request = DenoiseRequest { model: "fashion-vae".into(), ..denoise(None) };
    refused.push((codec.denoise(request).await.unwrap_err(), "fashion-dae"));
    for (status, would_do) in refused {
        assert_eq!(blamed(&status), "model");
        let (_, those) = status.message().split_once("there is: ").unwrap();
        assert!(those.contains(would_do) && !those.contains("shakespeare"), "{}", status.message());
    }
}

#[tokio::test]
async fn a_malformed_deadline_is_refused_and_one_that_has_passed_is_exceeded() {
    let fleet = Fleet::shared();
    for wrong in ["soon", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1 S"] {
        let status =
            fleet.codec().denoise(with_header(denoise(None), "grpc-timeout", wrong)).await.unwrap_err();
        assert_eq!(blamed(&status), "grpc-timeout", "{wrong:?}");
        let request = with_header(GenerateRequest::default(), "grpc-timeout", wrong);
        assert_eq!(blamed(&fleet.text().generate(request).await.unwrap_err()), "grpc-timeout", "{wrong:?}");
    }
    for passed in ["0S", "1n"] {
        let request = with_header(denoise(None), "grpc-timeout", passed);
        let status = fleet.codec().denoise(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{passed:?}: {status:?}");
    }
    fleet.codec().denoise(with_header(denoise(None), "grpc-timeout", "99999999H")).await.unwrap();
}
