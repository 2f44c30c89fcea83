use std::collections::BTreeSet;

use atelier_proto::audio::v1::*;
use tonic::Code;

use crate::*;

/// Speech by a model that plans.
fn planning() -> Speech {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/tiny-planner/1");
    Speech::new(Engine::load(&Config::default(), &[Package::open(&directory).unwrap()]).unwrap())
}

/// What depends on nothing but what is told: the likeliest samples, and durations that are always the same.
fn certain(text: &str, seed: u64) -> SynthesizeRequest {
    let (speaker, encoding) = ("bob".into(), AudioEncoding::Pcm16.into());
    SynthesizeRequest {
        text: text.into(),
        seed,
        speaker,
        encoding,
        temperature: Some(0.0),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_drawn_by_the_seed_and_is_heard() {
    let (planning, plain) = (planning(), speech());
    let (mut planned, mut unplanned) = (BTreeSet::new(), BTreeSet::new());
    for seed in 1..=8 {
        let sound = speak(&planning, certain("0", seed)).await.bytes();
        assert_eq!(sound.len(), 2 * 2000);
        assert!(speak(&planning, certain("0", seed)).await.bytes() == sound, "one seed, one sound");
        planned.insert(sound);
        unplanned.insert(speak(&plain, certain("0", seed)).await.bytes());
    }
    assert_eq!((planned.len(), unplanned.len()), (8, 1), "nothing but the plan depends on the seed");
}

#[tokio::test(flavor = "multi_thread")]
async fn variation_takes_plans_away_from_the_most_usual_one() {
    let (planning, plain) = (planning(), speech());
    let with = |variation, seed| SynthesizeRequest { variation: Some(variation), ..certain("0", seed) };
    let usual = speak(&planning, with(0.0, 1)).await.bytes();
    assert!(speak(&planning, with(0.0, 2)).await.bytes() == usual, "without variation no seed matters");
    let default = speak(&planning, certain("0", 2)).await.bytes();
    assert!(speak(&planning, with(1.0, 2)).await.bytes() == default && default != usual);
    for (speech, variation, right) in [(&planning, 1.6, "0 to 1.5 is right"), (&plain, 1.0, "leave it out")] {
        let status = refused(speech.synthesize(Request::new(with(variation, 1))).await);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("variation") && status.message().contains(right), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_digit_has_its_own_plan_whatever_is_said_beside_it() {
    let speech = planning();
    let long = speak(&speech, certain("000", 5)).await;
    assert_eq!(long.header.samples, 3 * 2000 + 2 * 800);
    let pcm = long.bytes();
    let digit = |place: usize| &pcm[2 * place * 2800..][..2 * 2000];
    assert!(digit(0) != digit(1) && digit(1) != digit(2), "the same digit is said in other ways");
    for text in ["0", "00"] {
        assert!(pcm.starts_with(&speak(&speech, certain(text, 5)).await.bytes()), "{text}");
    }
    let crowd = (1..=12).map(|seed| speak(&speech, certain("000", seed)));
    let crowd = futures_util::future::join_all(crowd).await;
    assert!(crowd[4].chunks == long.chunks, "company changes the sound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_no_number_is_an_error_of_the_model_and_the_next_is_answered() {
    let speech = planning();
    let spoilt = SynthesizeRequest { speaker: "noisy".into(), ..certain("0", 1) };
    let status = refused(speech.synthesize(Request::new(spoilt)).await);
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("the server's log has it under id"), "{status:?}");
    assert_eq!(speak(&speech, certain("7", 1)).await.finished.digits_cut, 0);
}
