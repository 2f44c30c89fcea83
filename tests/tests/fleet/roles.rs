//! The roles as processes of their own behind the gateway, as they are deployed.

use std::time::{Duration, Instant};

use atelier_proto::audio::v1::SynthesizeRequest;
use atelier_proto::codec::v1::{DenoiseRequest, SampleRequest};
use atelier_proto::image;
use atelier_proto::models::v1::ListModelsRequest;
use atelier_proto::text::v1::GenerateRequest;
use atelier_tests::client::next_chunk;
use atelier_tests::models::{self, Models};
use atelier_tests::pictures::{clothes, message};
use atelier_tests::{Fleet, Start, shipped};
use tonic::Code;

const AUDIO: &str = "atelier.audio.v1.AudioService";
const CODEC: &str = "atelier.codec.v1.CodecService";
const IMAGE: &str = "atelier.image.v1.ImageService";
const TEXT: &str = "atelier.text.v1.TextService";

fn role(name: &'static str) -> Fleet {
    Start::role(name, &shipped(), "127.0.0.1:0").start()
}

async fn becomes(fleet: &Fleet, service: &str, serving: bool) {
    let start = Instant::now();
    while fleet.is_serving(service).await != Some(serving) {
        assert!(start.elapsed() < Duration::from_secs(30), "{service} is never serving={serving}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn generate(max_chars: u32) -> GenerateRequest {
    GenerateRequest { seed: 6, max_chars: Some(max_chars), ..Default::default() }
}

#[tokio::test]
async fn roles_in_processes_of_their_own_give_the_same_bytes_as_one_process() {
    let all = models::all();
    // A role without a package does not start alone.
    let roles = [("codec", CODEC), ("image", IMAGE), ("text", TEXT), ("audio", AUDIO)];
    let roles = roles.into_iter().filter(|(name, _)| all.iter().any(|model| model.role() == *name));
    let roles: Vec<_> = roles.map(|(name, service)| (name, service, role(name))).collect();
    let gateway = Start::gateway(roles.iter().map(|(name, _, fleet)| (*name, fleet.address()))).start();
    for (_, service, _) in &roles {
        becomes(&gateway, service, true).await;
    }
    let together = Fleet::shared();
    let mut answers = Vec::new();
    for fleet in [&gateway, &*together] {
        let models = fleet.models().list_models(ListModelsRequest::default()).await.unwrap().into_inner();
        let request = DenoiseRequest { image: message(&clothes()[5]), ..Default::default() };
        let denoised = fleet.codec().denoise(request).await.unwrap().into_inner();
        let request = SampleRequest { count: Some(4), seed: 6, ..Default::default() };
        let samples = fleet.codec().sample(request).await.unwrap().into_inner();
        let mut spoken = Vec::new();
        for model in models::of_kind("wavenet") {
            let request =
                SynthesizeRequest { model: model.name, text: "7".into(), seed: 6, ..Default::default() };
            let mut events = fleet.audio().synthesize(request).await.unwrap().into_inner();
            while let Some(event) = events.message().await.unwrap() {
                spoken.push(event);
            }
        }
        answers.push((models, denoised, samples, spoken, fleet.write(generate(300)).await.unwrap().text()));
    }
    assert!(answers[0] == answers[1], "the answers differ");
    for process in std::iter::once(gateway).chain(roles.into_iter().map(|(_, _, fleet)| fleet)) {
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
    }
}

#[tokio::test]
async fn a_role_that_is_killed_is_unavailable_until_it_is_back_and_the_others_serve_on() {
    let (codec, text) = (role("codec"), role("text"));
    let address = text.address();
    let gateway = Start::gateway([("codec", codec.address()), ("text", address)]).start();
    becomes(&gateway, TEXT, true).await;
    let mut stream = gateway.text().generate(generate(100_000)).await.unwrap().into_inner();
    next_chunk(&mut stream).await.unwrap();

    text.signal("KILL");
    assert_eq!(text.wait(), None, "a signal ended it");
    let broken = loop {
        match next_chunk(&mut stream).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(broken.code(), Code::Unavailable, "{broken:?}");
    assert_eq!(gateway.write(generate(5)).await.unwrap_err().code(), Code::Unavailable);
    becomes(&gateway, TEXT, false).await;
    assert_eq!(gateway.is_serving("").await, Some(true));
    gateway.codec().sample(SampleRequest::default()).await.unwrap();
    let models =
        gateway.models().list_models(ListModelsRequest::default()).await.unwrap().into_inner().models;
    assert!(!models.is_empty() && models.iter().all(|model| model.role == "codec"), "{models:?}");

    let _text = Start::role("text", &shipped(), &address.to_string()).start();
    becomes(&gateway, TEXT, true).await;
    assert_eq!(gateway.write(generate(5)).await.unwrap().finished.chars, 5);
}

#[tokio::test]
async fn a_role_without_a_package_says_what_there_is_and_the_others_serve() {
    let models = Models::new();
    models.copy("fashion-vae", 1);
    let fleet = Start::up(models.path()).start();
    assert_eq!(fleet.is_serving("").await, Some(true));
    assert_eq!(fleet.is_serving(CODEC).await, Some(true));
    assert_eq!(fleet.is_serving("liveness").await, Some(true), "for Kubernetes' probe");
    for service in [AUDIO, IMAGE, TEXT] {
        assert_eq!(fleet.is_serving(service).await, Some(false), "{service}");
    }
    for status in [
        fleet.image().generate(image::v1::GenerateRequest::default()).await.unwrap_err(),
        fleet.image().age(image::v1::AgeRequest::default()).await.unwrap_err(),
        fleet.write(generate(5)).await.unwrap_err(),
        fleet.audio().synthesize(SynthesizeRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        assert!(status.message().ends_with("there is: fashion-vae"), "{status:?}");
    }
    fleet.codec().sample(SampleRequest::default()).await.unwrap();
    let all = fleet.models().list_models(ListModelsRequest::default()).await.unwrap().into_inner().models;
    assert_eq!(all.len(), 1);
    fleet.log().wait("that a role has no package", |line| line["level"] == "WARN" && line["role"] == "image");
    fleet.signal("TERM");
    assert_eq!(fleet.wait(), Some(0));
}
