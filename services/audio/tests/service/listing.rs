use atelier_proto::audio::v1::{ListSpeakersRequest, Speaker};
use atelier_proto::models::v1::ModelVersion;

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_speakers_are_those_of_the_package_with_their_usual_pace() {
    let answer = speech().list_speakers(Request::new(ListSpeakersRequest::default())).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.model, Some(ModelVersion { name: "tiny-voice".into(), version: 1 }));
    assert_eq!((answer.sample_rate, answer.digits.as_str()), (8000, "07"));
    let speaker =
        |name: &str, samples: f64| Speaker { name: name.into(), seconds_per_digit: samples / 8000.0 };
    assert_eq!(answer.speakers, [speaker("ann", 1600.0), speaker("bob", 2000.0), speaker("noisy", 1600.0)]);
}
