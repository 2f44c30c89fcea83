//! Roles that are not there, go, and come back.

use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fleet::{Mortal, TEXT, gateway, nowhere, route};
use crate::support::{
    Running, Script, client, config, eventually, generate, next_text, origin, score, text_role, transport,
};

fn role(script: &Script) -> atelier_chassis::Server {
    text_role(script, config(Duration::from_secs(10)))
}

#[tokio::test]
async fn a_role_that_is_not_there_is_unavailable_at_once_and_named() {
    let gateway = gateway(vec![route("text", TEXT, nowhere().await)]).await;
    let start = Instant::now();
    let status = client(gateway.address).score(score("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the text role cannot be reached");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_role_that_is_killed_is_unavailable_in_the_midst_of_streams_and_serves_again_when_it_is_back() {
    let script = Script::default();
    let first = Mortal::start(role(&script), nowhere().await).await;
    let address = first.address;
    let gateway = gateway(vec![route("text", TEXT, address)]).await;
    let mut client = client(gateway.address);
    let mut stream = client.generate(generate("silent")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");

    first.kill().await;
    let broken = next_text(&mut stream).await.unwrap_err();
    assert_eq!(broken.code(), Code::Unavailable, "{broken:?}");
    assert_eq!(broken.message(), "the connection to the text role was lost");
    assert_eq!(client.score(score("x")).await.unwrap_err().code(), Code::Unavailable);

    let _second = Mortal::start(role(&script), address).await;
    assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
}

#[tokio::test]
async fn a_call_under_way_at_a_role_that_is_killed_is_unavailable() {
    let script = Script::default();
    let role = Mortal::start(role(&script), nowhere().await).await;
    let gateway = gateway(vec![route("text", TEXT, role.address)]).await;
    let address = gateway.address;
    let call = tokio::spawn(async move { client(address).score(score("sleep 60000")).await });
    eventually("the call is under way", || script.begun() == 1).await;
    role.kill().await;
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_gateways_health_follows_the_roles() {
    let script = Script::default();
    let role_server = role(&script);
    let role_health = role_server.health();
    role_health.set(TEXT, false);
    let role = Mortal::start(role_server, nowhere().await).await;
    let routes = vec![route("text", TEXT, role.address), route("codec", "test.v1.Down", nowhere().await)];
    let gateway = gateway(routes).await;
    let mut health = HealthClient::with_origin(transport(), origin(gateway.address));
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        health.check(request).await.unwrap().into_inner().status == 1
    };
    assert!(!check(TEXT).await && !check("").await, "nothing is ready yet");

    role_health.set(TEXT, true);
    eventually("the gateway has heard", || gateway.health.is_serving(TEXT) == Some(true)).await;
    for service in [TEXT, "", "atelier.models.v1.ModelService"] {
        assert!(check(service).await, "{service:?} is being served");
    }
    assert!(!check("test.v1.Down").await, "one role that is down is said to be");

    role.kill().await;
    eventually("the gateway has noticed", || gateway.health.is_serving(TEXT) == Some(false)).await;
    assert!(!check("").await, "a door with nothing behind it is not ready");
}

#[tokio::test]
async fn a_role_that_drains_finishes_what_came_through_the_gateway() {
    let script = Script::default();
    let role = Running::start(role(&script)).await;
    let gateway = gateway(vec![route("text", TEXT, role.address)]).await;
    let mut client = client(gateway.address);
    let mut stream = client.generate(generate("pause 500")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let stopping = role.begin_stop();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "last");
    assert_eq!(next_text(&mut stream).await.unwrap(), None);
    assert_eq!(stopping.await.unwrap().cut, 0);
    eventually("the gateway has noticed", || gateway.health.is_serving(TEXT) == Some(false)).await;
}
