use std::time::Duration;

use atelier_chassis::Deadline;
use atelier_proto::audio::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::*;

fn good() -> SynthesizeRequest {
    SynthesizeRequest { text: "07".into(), seed: 1, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_is_refused_by_name_with_what_would_be_right() {
    let speech = speech();
    let cases = [
        (SynthesizeRequest { text: "".into(), ..good() }, "text", "1 to 64 digits"),
        (
            SynthesizeRequest { text: "01".into(), ..good() },
            "text",
            "'1' at 1, but this model says the digits 07",
        ),
        (SynthesizeRequest { text: "seven".into(), ..good() }, "text", "'s' at 0"),
        (SynthesizeRequest { text: "0".repeat(65), ..good() }, "text", "1 to 64"),
        (SynthesizeRequest { text: " ".repeat(2000), ..good() }, "text", "at most 1024"),
        (SynthesizeRequest { temperature: Some(2.5), ..good() }, "temperature", "0 to 2"),
        (SynthesizeRequest { temperature: Some(f32::NAN), ..good() }, "temperature", "0 to 2"),
        (SynthesizeRequest { pause_ms: Some(2001), ..good() }, "pause_ms", "0 to 2000"),
        (SynthesizeRequest { encoding: 3, ..good() }, "encoding", "is 3"),
    ];
    for (request, field, right) in cases {
        let status = refused(speech.synthesize(Request::new(request)).await);
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
        assert_eq!(violation.field, field, "{status:?}");
        assert!(violation.description.contains(right), "{:?} does not say {right:?}", violation.description);
    }
    assert!(speech.synthesize(Request::new(good())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_version_or_speaker_is_not_found_and_comes_with_what_exists() {
    let speech = speech();
    let said = async |request| {
        let status = refused(speech.synthesize(Request::new(request)).await);
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        status.message().to_owned()
    };
    let model = SynthesizeRequest { model: "tinny".into(), ..good() };
    assert_eq!(said(model).await, "no model \"tinny\"; there is: tiny-voice");
    let version = SynthesizeRequest { version: 3, ..good() };
    assert_eq!(said(version).await, "no version \"tiny-voice/3\"; there is: 1");
    let speaker = SynthesizeRequest { speaker: "jackson".into(), ..good() };
    assert_eq!(said(speaker).await, "no speaker \"jackson\"; there is: ann, bob, noisy");
    let request = ListSpeakersRequest { model: "tinny".into(), version: 0 };
    assert_eq!(refused(speech.list_speakers(Request::new(request)).await).code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_decoder_cannot_take_is_refused_before_the_stream_begins() {
    let engine = engine(Config { slots: 1, waiting: 0, stream_buffer: 1, ..Config::default() });
    let speech = Speech::new(engine.clone());
    let mut late = Request::new(good());
    late.extensions_mut().insert(Deadline::after(Duration::ZERO).unwrap());
    assert_eq!(refused(speech.synthesize(late).await).code(), Code::DeadlineExceeded);

    let long = SynthesizeRequest { text: "0".repeat(64), ..good() };
    let mut taken = speech.synthesize(Request::new(long)).await.unwrap().into_inner();
    for _ in 0..3 {
        taken.next().await.unwrap().unwrap();
    }
    let status = refused(speech.synthesize(Request::new(good())).await);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_error_details().retry_info().is_some());
    drop(taken);

    engine.shutdown(Duration::from_secs(5)).await;
    assert_eq!(refused(speech.synthesize(Request::new(good())).await).code(), Code::Unavailable);
}
