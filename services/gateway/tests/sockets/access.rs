//! The gateway's door, as callers meet it.

use std::path::Path;
use std::time::Duration;

use atelier_gateway::{AccessConfig, Gateway, GatewayConfig};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::fleet::{TEXT, route, serving};
use crate::support::{
    Running, Script, client, config, generate, next_text, origin, score, text_role, transport, with_header,
};

/// SHA-256 of "abc" and of "b".
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

fn configured(role: &Running, keys: &Path) -> GatewayConfig {
    GatewayConfig {
        routes: vec![route("text", TEXT, role.address)],
        access: AccessConfig { keys: Some(keys.to_owned()), reload: Duration::from_millis(20) },
        server: config(Duration::from_secs(10)),
        ..GatewayConfig::default()
    }
}

async fn role(script: &Script) -> Running {
    Running::start(text_role(script, config(Duration::from_secs(10)))).await
}

#[tokio::test]
async fn only_callers_with_a_key_come_in_and_health_is_answered_without() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    std::fs::write(&keys, format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\n")).unwrap();
    let script = Script::default();
    let role = role(&script).await;
    let gateway = serving(Gateway::new(configured(&role, &keys)).unwrap()).await;
    let mut client = client(gateway.address);

    let refused = client.score(score("x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("authorization: Bearer KEY"), "{}", refused.message());
    let wrong = with_header(generate("count 3"), "authorization", "Bearer abd");
    assert_eq!(client.generate(wrong).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(script.begun(), 0, "no role was asked");

    client.score(with_header(score("x"), "authorization", "Bearer abc")).await.unwrap();
    let stream = client.generate(with_header(generate("count 1"), "x-api-key", "abc")).await.unwrap();
    assert_eq!(next_text(&mut stream.into_inner()).await.unwrap().unwrap(), "0");
    let mut health = HealthClient::with_origin(transport(), origin(gateway.address));
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_call_again() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    let slow = "requests_per_second = 0.001\nburst = 2";
    std::fs::write(&keys, format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\n{slow}\n")).unwrap();
    let role = role(&Script::default()).await;
    let gateway = serving(Gateway::new(configured(&role, &keys)).unwrap()).await;
    let mut client = client(gateway.address);
    for _ in 0..2 {
        client.score(with_header(score("x"), "x-api-key", "abc")).await.unwrap();
    }
    let busy = client.score(with_header(score("x"), "x-api-key", "abc")).await.unwrap_err();
    assert_eq!(busy.code(), Code::ResourceExhausted);
    assert!(busy.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::from_secs(900));
    assert!(busy.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn keys_that_are_added_come_in_and_a_damaged_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    let a = format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\n");
    std::fs::write(&keys, &a).unwrap();
    let role = role(&Script::default()).await;
    let gateway = serving(Gateway::new(configured(&role, &keys)).unwrap()).await;
    let mut client = client(gateway.address);
    std::fs::write(&keys, "damaged").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.score(with_header(score("x"), "x-api-key", "abc")).await.unwrap();

    std::fs::write(&keys, format!("{a}[[key]]\nname = \"b\"\nsha256 = \"{B}\"\n")).unwrap();
    let mut let_in = false;
    for _ in 0..500 {
        let_in = client.score(with_header(score("x"), "x-api-key", "b")).await.is_ok();
        if let_in {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(let_in, "the new key was never taken");
}

#[tokio::test]
async fn the_last_key_is_revoked_by_emptying_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    std::fs::write(&keys, format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\n")).unwrap();
    let role = role(&Script::default()).await;
    let gateway = serving(Gateway::new(configured(&role, &keys)).unwrap()).await;
    let mut client = client(gateway.address);
    client.score(with_header(score("x"), "x-api-key", "abc")).await.unwrap();
    std::fs::write(&keys, "").unwrap();
    for _ in 0..500 {
        if let Err(refused) = client.score(with_header(score("x"), "x-api-key", "abc")).await {
            assert_eq!(refused.code(), Code::Unauthenticated);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the key is taken still");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_and_nothing_is_started() {
    let role = role(&Script::default()).await;
    let missing = Gateway::new(configured(&role, Path::new("/nowhere/keys.toml"))).map(|_| ()).unwrap_err();
    assert!(missing.to_string().starts_with("access.keys: /nowhere/keys.toml: cannot be read"), "{missing}");
}
