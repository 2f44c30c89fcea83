//! What the stack around every service answers.

use std::time::{Duration, Instant};

use atelier_chassis::ServerConfig;
use atelier_proto::text::v1::ScoreResponse;
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::{
    Running, Script, client, config, eventually, generate, next_text, origin, score, text_role, transport,
    with_header,
};

async fn start(script: &Script) -> Running {
    Running::start(text_role(script, config(Duration::from_secs(10)))).await
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded_and_the_handler_is_dropped() {
    let script = Script::default();
    let server = start(&script).await;
    let mut client = client(server.address);
    let start = Instant::now();
    let status = client.score(with_header(score("sleep 60000"), "grpc-timeout", "100m")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!((0.1..5.0).contains(&start.elapsed().as_secs_f64()), "after {:?}", start.elapsed());
    eventually("the handler was dropped", || script.over() == 1).await;

    let request = with_header(generate("silent"), "grpc-timeout", "100m");
    let mut stream = client.generate(request).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    assert_eq!(next_text(&mut stream).await.unwrap_err().code(), Code::DeadlineExceeded);
    eventually("the stream was dropped", || script.over() == 2).await;
}

#[tokio::test]
async fn a_malformed_deadline_is_invalid() {
    let server = start(&Script::default()).await;
    let request = with_header(score("x"), "grpc-timeout", "soon");
    let status = client(server.address).score(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "grpc-timeout");
}

#[tokio::test]
async fn a_message_of_100_megabytes_is_refused_and_the_server_goes_on() {
    let script = Script::default();
    let server = start(&script).await;
    let mut client = client(server.address);
    let status = client.score(score(&"x".repeat(100 << 20))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("must have 16777216 at most"), "{}", status.message());
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "message");
    assert_eq!(script.begun(), 0, "the handler never saw it");

    let fits = client.score(score(&"x".repeat(15 << 20))).await.unwrap().into_inner();
    assert_eq!(fits.chars, 15 << 20);
}

#[tokio::test]
async fn a_message_of_another_type_is_the_callers_fault() {
    let script = Script::default();
    let server = start(&script).await;
    let mut grpc = tonic::client::Grpc::with_origin(transport(), origin(server.address));
    grpc.ready().await.unwrap();
    // Its second field is a double, where a request has an integer.
    let message = ScoreResponse { log_likelihood: -1.0, ..ScoreResponse::default() };
    let codec = tonic_prost::ProstCodec::<ScoreResponse, ScoreResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/atelier.text.v1.TextService/Score");
    let status = grpc.unary(Request::new(message), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("ScoreRequest.version"), "{}", status.message());
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "message");
    assert_eq!(script.begun(), 0, "the handler never saw it");
}

#[tokio::test]
async fn headers_without_end_are_refused_and_the_server_goes_on() {
    let server = start(&Script::default()).await;
    let mut client = client(server.address);
    let request = with_header(score("x"), "x-long", &"y".repeat(200_000));
    assert!(client.score(request).await.is_err());
    assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
}

#[tokio::test]
async fn a_panic_is_internal_and_the_connection_survives() {
    let server = start(&Script::default()).await;
    let mut client = client(server.address);
    let status = client.score(score("panic")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("as asked"), "{}", status.message());

    let mut stream = client.generate(generate("panic")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    assert_eq!(next_text(&mut stream).await.unwrap_err().code(), Code::Internal);
    assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_stream() {
    let script = Script::default();
    let server = start(&script).await;
    let mut client = client(server.address);
    for (round, prompt) in ["silent", "flood"].into_iter().enumerate() {
        let mut stream = client.generate(generate(prompt)).await.unwrap().into_inner();
        next_text(&mut stream).await.unwrap().unwrap();
        assert_eq!(script.over(), round);
        drop(stream);
        eventually("the stream was dropped", || script.over() == round + 1).await;
    }
}

#[tokio::test]
async fn more_requests_than_the_limit_are_told_to_come_back() {
    let script = Script::default();
    let limited = ServerConfig { max_concurrent_requests: 2, ..config(Duration::from_secs(10)) };
    let server = Running::start(text_role(&script, limited)).await;
    let mut client = client(server.address);
    let first = client.generate(generate("silent")).await.unwrap();
    let _second = client.generate(generate("silent")).await.unwrap();
    let status = client.score(score("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    drop(first);
    eventually("the first was freed", || script.over() == 1).await;
    client.score(score("x")).await.unwrap();
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented_and_the_known_ones_named() {
    let server = start(&Script::default()).await;
    let mut grpc = tonic::client::Grpc::with_origin(transport(), origin(server.address));
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/nowhere.v1.Nothing/Do");
    let status = grpc.unary(Request::new(HealthCheckRequest::default()), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("atelier.text.v1.TextService"), "{}", status.message());
}

#[tokio::test]
async fn health_says_not_serving_until_it_is_ready() {
    let script = Script::default();
    let role = text_role(&script, config(Duration::from_secs(10)));
    role.health().set("atelier.text.v1.TextService", false);
    role.health().set("", false);
    let server = Running::start(role).await;
    let mut client = HealthClient::with_origin(transport(), origin(server.address));
    for service in ["", "atelier.text.v1.TextService"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = client.watch(request.clone()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "{service:?} is NOT_SERVING");
        server.health.set(service, true);
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "{service:?} is SERVING");
        assert_eq!(client.check(request).await.unwrap().into_inner().status, 1);
    }
}

/// Anybody may ask, and the names that are watched are kept.
#[tokio::test]
async fn a_health_request_that_is_longer_than_any_name_is_refused() {
    let server = start(&Script::default()).await;
    let mut client = HealthClient::with_origin(transport(), origin(server.address));
    let asked = HealthCheckRequest { service: "x".repeat(1 << 20) };
    for status in [client.check(asked.clone()).await.unwrap_err(), client.watch(asked).await.unwrap_err()] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("must have 1024 at most"), "{}", status.message());
    }
    let name = HealthCheckRequest { service: "x".repeat(1000) };
    assert_eq!(client.check(name).await.unwrap_err().code(), Code::NotFound);
    client.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions() {
    let server = start(&Script::default()).await;
    let (transport, origin) = (transport(), origin(server.address));
    let expected = |reflection: &str| {
        vec![
            "atelier.text.v1.TextService".to_owned(),
            "grpc.health.v1.Health".to_owned(),
            reflection.to_owned(),
        ]
    };
    macro_rules! list {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let ask =
                |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let asked = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol("atelier.text.v1.TextService".into())),
                ask(MessageRequest::FileContainingSymbol("google.rpc.BadRequest".into())),
            ];
            let mut client = ServerReflectionClient::with_origin(transport.clone(), origin.clone());
            let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap();
            let answers: Vec<_> =
                answers.into_inner().map(|a| a.unwrap().message_response.unwrap()).collect().await;
            let [
                MessageResponse::ListServicesResponse(list),
                MessageResponse::FileDescriptorResponse(_),
                MessageResponse::FileDescriptorResponse(_),
            ] = answers.as_slice()
            else {
                panic!("{answers:?}")
            };
            let mut names: Vec<String> = list.service.iter().map(|service| service.name.clone()).collect();
            names.sort();
            names
        }};
    }
    assert_eq!(list!(v1), expected("grpc.reflection.v1.ServerReflection"));
    assert_eq!(list!(v1alpha), expected("grpc.reflection.v1alpha.ServerReflection"));
}
