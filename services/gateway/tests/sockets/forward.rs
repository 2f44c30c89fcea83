//! What passes through the gateway passes as it is.

use std::convert::Infallible;
use std::time::Duration;

use atelier_chassis::{Drained, Request, Response, Server};
use atelier_proto::text::v1::{ScoreRequest, ScoreResponse};
use http_body_util::BodyExt;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::service_fn;

use crate::fleet::{TEXT, gateway, route};
use crate::support::{
    Running, Script, client, config, eventually, generate, next_text, origin, score, text_role, transport,
    with_header,
};

async fn fleet(script: &Script) -> (Running, Running) {
    let role = Running::start(text_role(script, config(Duration::from_secs(10)))).await;
    let gateway = gateway(vec![route("text", TEXT, role.address)]).await;
    (gateway, role)
}

#[tokio::test]
async fn unary_calls_and_streams_pass() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut client = client(gateway.address);
    assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
    let mut stream = client.generate(generate("count 1000")).await.unwrap().into_inner();
    for n in 0..1000 {
        assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), n.to_string());
    }
    assert_eq!(next_text(&mut stream).await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_arrives_as_it_is_made() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut stream = client(gateway.address).generate(generate("silent")).await.unwrap().into_inner();
    let first = tokio::time::timeout(Duration::from_secs(5), next_text(&mut stream)).await;
    assert_eq!(first.expect("the first chunk does not wait for the next").unwrap().unwrap(), "first");
}

#[tokio::test]
async fn codes_details_and_trailers_pass_intact() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut client = client(gateway.address);
    let invalid = client.score(score("invalid")).await.unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument);
    assert_eq!(invalid.get_details_bad_request().unwrap().field_violations[0].field, "text");

    let busy = client.score(score("busy")).await.unwrap_err();
    let mut stream = client.generate(generate("fail")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let later = next_text(&mut stream).await.unwrap_err();
    for status in [busy, later] {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(70)));
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "70");
    }
}

#[tokio::test]
async fn a_request_id_reaches_the_role_and_comes_back() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut client = client(gateway.address);
    let answer = client.score(with_header(score("x"), "x-request-id", "abc-1")).await.unwrap();
    assert_eq!(answer.metadata().get("seen-request-id").unwrap(), "abc-1");
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "abc-1");

    let answer = client.score(score("x")).await.unwrap();
    let made = answer.metadata().get("x-request-id").unwrap();
    assert_eq!(made.len(), 32);
    assert_eq!(answer.metadata().get("seen-request-id"), Some(made), "one id on both sides of the gateway");
}

#[tokio::test]
async fn the_role_is_given_what_is_left_of_the_deadline() {
    let script = Script::default();
    let (gateway, _role) = fleet(&script).await;
    let mut client = client(gateway.address);
    let answer = client.score(with_header(score("x"), "grpc-timeout", "30S")).await.unwrap();
    let left = answer.into_inner().bits_per_char;
    assert!((20.0..30.0).contains(&left), "{left} s");
    assert_eq!(client.score(score("x")).await.unwrap().into_inner().bits_per_char, -1.0, "and none if none");
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded_and_the_role_is_rid_of_it() {
    let script = Script::default();
    let (gateway, _role) = fleet(&script).await;
    let mut client = client(gateway.address);
    let status = client.score(with_header(score("sleep 60000"), "grpc-timeout", "100m")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let mut stream =
        client.generate(with_header(generate("silent"), "grpc-timeout", "200m")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    assert_eq!(next_text(&mut stream).await.unwrap_err().code(), Code::DeadlineExceeded);
    eventually("both were dropped", || script.over() == 2).await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_stream_at_the_role() {
    let script = Script::default();
    let (gateway, _role) = fleet(&script).await;
    let mut stream = client(gateway.address).generate(generate("silent")).await.unwrap().into_inner();
    next_text(&mut stream).await.unwrap().unwrap();
    assert_eq!(script.over(), 0);
    drop(stream);
    eventually("the stream was dropped", || script.over() == 1).await;

    let address = gateway.address;
    let call = tokio::spawn(async move { client(address).score(score("sleep 60000")).await });
    eventually("the call is under way", || script.begun() == 2).await;
    call.abort();
    eventually("the call was dropped", || script.over() == 2).await;
}

#[tokio::test]
async fn a_message_of_100_megabytes_is_refused_at_the_door() {
    let script = Script::default();
    let (gateway, _role) = fleet(&script).await;
    let mut client = client(gateway.address);
    let status = client.score(score(&"x".repeat(100 << 20))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("must have 16777216 at most"), "{}", status.message());
    assert_eq!(script.begun(), 0);
    let fits = client.score(score(&"x".repeat(15 << 20))).await.unwrap().into_inner();
    assert_eq!(fits.chars, 15 << 20);
}

/// All over one connection on either side of the gateway.
#[tokio::test]
async fn streams_that_are_open_and_quiet_hold_up_no_other_call() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut client = client(gateway.address);
    let calls = async {
        let mut open = Vec::new();
        for _ in 0..300 {
            let mut stream = client.generate(generate("silent")).await.unwrap().into_inner();
            assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
            open.push(stream);
        }
        client.score(score("abc")).await.unwrap().into_inner().chars
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), calls).await;
    assert_eq!(answer.expect("a call waits for a stream to end"), 3);
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented_and_the_known_ones_named() {
    let (gateway, _role) = fleet(&Script::default()).await;
    let mut grpc = tonic::client::Grpc::with_origin(transport(), origin(gateway.address));
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<ScoreRequest, ScoreResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/atelier.audio.v1.AudioService/Generate");
    let status = grpc.unary(tonic::Request::new(score("x")), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("atelier.audio.v1.AudioService/Generate"), "{}", status.message());
    assert!(status.message().contains(TEXT), "{}", status.message());
}

/// Sends back what it is sent, message by message, and a trailer of its own.
async fn echo(request: Request) -> Result<Response, Infallible> {
    let body = request.into_body().map_frame(|frame| frame);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-echoed", "yes".parse().unwrap());
    let body = body.with_trailers(async move { Some(Ok::<_, Status>(trailers)) });
    let response = http::Response::builder().header("content-type", "application/grpc");
    Ok(response.body(Body::new(body)).unwrap())
}

#[tokio::test]
async fn both_directions_stream_at_once_for_a_service_that_the_gateway_has_never_heard_of() {
    const ECHO: &str = "test.v1.EchoService";
    let role = Server::new("echo", config(Duration::from_secs(10))).fallback(service_fn(echo));
    let role = Running::start(role).await;
    let gateway = gateway(vec![route("echo", ECHO, role.address)]).await;

    let mut grpc = tonic::client::Grpc::with_origin(transport(), origin(gateway.address));
    grpc.ready().await.unwrap();
    let (send, asked) = tokio::sync::mpsc::channel::<ScoreRequest>(1);
    let codec = tonic_prost::ProstCodec::<ScoreRequest, ScoreRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/test.v1.EchoService/Echo");
    let asked = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(asked));
    let mut answers = grpc.streaming(asked, path, codec).await.unwrap().into_inner();
    for n in 0..100 {
        // Each is sent only after the one before has come back.
        send.send(score(&n.to_string())).await.unwrap();
        assert_eq!(answers.next().await.unwrap().unwrap().text, n.to_string());
    }
    drop(send);
    assert!(answers.next().await.is_none());
    assert_eq!(answers.trailers().await.unwrap().unwrap().get("x-echoed").unwrap(), "yes");
}

#[tokio::test]
async fn a_gateway_that_stops_lets_what_is_under_way_finish() {
    let script = Script::default();
    let (gateway, _role) = fleet(&script).await;
    let address = gateway.address;
    let mut under_way = client(address);
    let mut stream = under_way.generate(generate("pause 500")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let stopping = gateway.begin_stop();
    eventually("the listener is closed", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(under_way.score(score("x")).await.is_err());
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "last");
    assert_eq!(next_text(&mut stream).await.unwrap(), None);
    assert_eq!(stopping.await.unwrap(), Drained { cut: 0 });
    assert_eq!(script.begun(), 1);
}
