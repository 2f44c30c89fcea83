//! What an operator sees: health, reflection, models, and requests in the log.

use atelier_proto::codec::v1::{DenoiseRequest, SampleRequest};
use atelier_proto::models::v1::{GetModelRequest, ListModelsRequest};
use atelier_proto::text::v1::{GenerateRequest, ScoreRequest};
use atelier_tests::client::{finish, transport, with_header};
use atelier_tests::pictures::{clothes, message};
use atelier_tests::{Fleet, models};
use prost_types::value::Kind;
use serde_json::Value;
use tonic::Code;
use tonic_reflection::pb;

/// What answers requests, with the role that does; the gateway itself for none.
const SERVICES: [(&str, Option<&str>); 5] = [
    ("atelier.audio.v1.AudioService", Some("audio")),
    ("atelier.codec.v1.CodecService", Some("codec")),
    ("atelier.image.v1.ImageService", Some("image")),
    ("atelier.models.v1.ModelService", None),
    ("atelier.text.v1.TextService", Some("text")),
];

#[tokio::test]
async fn every_service_says_by_name_that_it_is_serving() {
    let fleet = Fleet::shared();
    let all = models::all();
    for (service, role) in SERVICES.into_iter().chain([("", None)]) {
        // A role that has no package serves nothing, and says so.
        let served = role.is_none_or(|role| all.iter().any(|model| model.role() == role));
        assert_eq!(fleet.is_serving(service).await, Some(served), "{service:?}");
    }
    assert_eq!(fleet.is_serving("atelier.video.v1.VideoService").await, None);
}

/// Asks one version of reflection for its services and for files, by the types of that version.
macro_rules! reflected {
    ($fleet:expr, $version:ident) => {{
        use pb::$version::ServerReflectionRequest;
        use pb::$version::server_reflection_client::ServerReflectionClient;
        use pb::$version::server_reflection_request::MessageRequest;
        use pb::$version::server_reflection_response::MessageResponse;
        let mut client = ServerReflectionClient::with_origin(transport(), $fleet.origin());
        let mut ask = async |message| {
            let asked = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let answers = client.server_reflection_info(tokio_stream::once(asked)).await?;
            let answer = answers.into_inner().message().await?.unwrap().message_response.unwrap();
            Ok::<_, tonic::Status>(answer)
        };
        let services = match ask(MessageRequest::ListServices(String::new())).await.unwrap() {
            MessageResponse::ListServicesResponse(list) => list.service,
            other => panic!("{other:?}"),
        };
        for symbol in
            ["atelier.audio.v1.AudioService", "atelier.image.v1.AgeRequest", "google.rpc.BadRequest"]
        {
            match ask(MessageRequest::FileContainingSymbol(symbol.into())).await.unwrap() {
                MessageResponse::FileDescriptorResponse(file) => {
                    assert!(!file.file_descriptor_proto.is_empty())
                }
                other => panic!("{symbol}: {other:?}"),
            }
        }
        // Within the stream or as its end: both are seen in the wild.
        match ask(MessageRequest::FileContainingSymbol("atelier.v0.Nothing".into())).await {
            Err(status) => assert_eq!(status.code(), Code::NotFound),
            Ok(MessageResponse::ErrorResponse(error)) => assert_eq!(error.error_code, Code::NotFound as i32),
            Ok(other) => panic!("{other:?}"),
        }
        services.into_iter().map(|service| service.name).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn both_versions_of_reflection_list_every_service_and_resolve_its_types() {
    let fleet = Fleet::shared();
    for services in [reflected!(fleet, v1), reflected!(fleet, v1alpha)] {
        let own = SERVICES.map(|(service, _)| service);
        for service in own.into_iter().chain(["grpc.health.v1.Health"]) {
            let listed = services.iter().filter(|listed| *listed == service).count();
            assert_eq!(listed, 1, "{service}: {services:?}");
        }
    }
}

#[tokio::test]
async fn the_gateway_lists_every_package_with_all_that_it_says_of_itself() {
    let fleet = Fleet::shared();
    let list = async |request| fleet.models().list_models(request).await.unwrap().into_inner().models;
    let all = list(ListModelsRequest::default()).await;
    let expected = models::all();
    assert_eq!(all.len(), expected.len());
    for (model, expected) in all.iter().zip(&expected) {
        let said = |field: &str| expected.manifest[field].as_str().unwrap().to_owned();
        assert_eq!(
            (&model.name, &model.kind, &*model.role),
            (&expected.name, &expected.kind, expected.role())
        );
        assert_eq!((model.version, model.device.as_str()), (expected.version, "cpu"));
        assert_eq!(model.is_default, models::of_kind(&model.kind)[0] == *expected, "{}", model.name);
        assert_eq!(
            (&model.licence, &model.summary, &model.data),
            (&said("licence"), &said("summary"), &said("data"))
        );
        assert_eq!(
            model.graphs.iter().map(|graph| graph.name.clone()).collect::<Vec<_>>(),
            expected.graphs()
        );
        assert!(model.graphs.iter().all(|graph| graph.inputs[0].shape.contains(&-1)), "any batch");
        let one = GetModelRequest { name: model.name.clone(), version: 0 };
        assert_eq!(fleet.models().get_model(one).await.unwrap().into_inner().model.as_ref(), Some(model));
    }
    let text = list(ListModelsRequest { role: "text".into(), ..Default::default() }).await;
    let some = |of: fn(&atelier_proto::models::v1::Model) -> bool| {
        all.iter().filter(|model| of(model)).cloned().collect::<Vec<_>>()
    };
    assert!(!text.is_empty());
    assert_eq!(text, some(|model| model.role == "text"));
    let vae = list(ListModelsRequest { kind: "variational-autoencoder".into(), ..Default::default() }).await;
    assert!(!vae.is_empty());
    assert_eq!(vae, some(|model| model.kind == "variational-autoencoder"));
    let none = list(ListModelsRequest { kind: "onnx".into(), ..Default::default() }).await;
    assert_eq!(none, []);
}

#[tokio::test]
async fn every_shipped_model_was_evaluated_and_says_how_it_does() {
    let fleet = Fleet::shared();
    let models = fleet.models().list_models(ListModelsRequest::default()).await.unwrap().into_inner().models;
    for model in models {
        let metrics = model.metrics.unwrap().fields;
        let has_number = metrics.values().any(|value| match &value.kind {
            Some(Kind::NumberValue(number)) => number.is_finite(),
            Some(Kind::StructValue(inner)) => !inner.fields.is_empty(),
            _ => false,
        });
        assert!(has_number, "{}: {metrics:?}", model.name);
    }
}

/// The fields of the span of a request, outermost first.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line["spans"].as_array()?.iter().find_map(|span| span[name].as_str())
}

#[tokio::test]
async fn the_id_of_a_request_reaches_the_worker_and_comes_back() {
    let fleet = Fleet::shared();
    let (denoise, generate) = ("denoise-4711", "generate-4711");
    let request = DenoiseRequest { image: message(&clothes()[0]), ..Default::default() };
    let response = fleet.codec().denoise(with_header(request, "x-request-id", denoise)).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), denoise);
    let request = GenerateRequest { max_chars: Some(5), ..Default::default() };
    let response = fleet.text().generate(with_header(request, "x-request-id", generate)).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), generate);
    finish(response.into_inner()).await.unwrap();

    for (id, role, message) in
        [(denoise, "codec", "answered"), (generate, "text", "a stream came to its end")]
    {
        for role in ["gateway", role] {
            let line = fleet.log().wait("the end of the request", |line| {
                line["message"] == "request finished"
                    && field(line, "request_id") == Some(id)
                    && field(line, "role") == Some(role)
            });
            assert!(line["elapsed_us"].is_u64() && line["code"] == "Ok", "{line}");
        }
        fleet.log().wait("the worker's line", |line| {
            line["message"] == message
                && field(line, "request_id") == Some(id)
                && line["target"].as_str().is_some_and(|target| target.starts_with("atelier_engine"))
        });
    }
}

#[tokio::test]
async fn a_request_without_an_id_is_given_one_also_when_it_is_refused() {
    let fleet = Fleet::shared();
    let id = |metadata: &tonic::metadata::MetadataMap| {
        metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned()
    };
    let answered = fleet.codec().sample(SampleRequest::default()).await.unwrap();
    let refused = fleet.text().score(ScoreRequest::default()).await.unwrap_err();
    let ids = [id(answered.metadata()), id(refused.metadata())];
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    fleet.log().wait("the refused request", |line| {
        line["message"] == "request finished" && field(line, "request_id") == Some(ids[1].as_str())
    });
}
