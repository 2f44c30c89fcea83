//! What becomes of connections that grow old.

use std::collections::BTreeSet;
use std::time::Duration;

use atelier_chassis::ServerConfig;
use hyper_util::client::legacy::connect::HttpInfo;
use tonic::Code;

use crate::support::{Running, Script, client, config, eventually, generate, next_text, score, text_role};

/// A server whose connections grow old after about `age` ms, and may take `grace` ms over their end.
async fn start(script: &Script, age: u64, grace: u64) -> Running {
    let config = ServerConfig {
        max_connection_age: Duration::from_millis(age),
        max_connection_age_grace: Duration::from_millis(grace),
        ..config(Duration::from_secs(10))
    };
    Running::start(text_role(script, config)).await
}

#[tokio::test]
async fn an_old_connection_ends_without_a_lost_call_and_its_stream_ends_whole() {
    let server = start(&Script::default(), 100, 0).await;
    // As other clients do, this one sends again by itself what never left it.
    let mut client = client(server.address);
    let mut stream = client.generate(generate("pause 1500")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    // Over several ages; each call would fail where a connection was merely dropped.
    let mut connections = BTreeSet::new();
    for call in 0..100 {
        let answer = client.score(score("abc")).await;
        let answer = answer.unwrap_or_else(|status| panic!("call {call}: {status:?}"));
        connections.insert(answer.extensions().get::<HttpInfo>().unwrap().local_addr());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(connections.len() > 1, "new calls went to new connections: {connections:?}");
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "last");
    assert_eq!(next_text(&mut stream).await.unwrap(), None, "the stream ended well");
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_is_cut_off_and_new_calls_go_on() {
    let script = Script::default();
    let server = start(&script, 100, 100).await;
    let mut stream = client(server.address).generate(generate("silent")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let cut = tokio::time::timeout(Duration::from_secs(20), next_text(&mut stream)).await.unwrap();
    assert!(matches!(cut.unwrap_err().code(), Code::Unknown | Code::Unavailable | Code::Internal));
    eventually("the stream was dropped", || script.over() == 1).await;
    client(server.address).score(score("abc")).await.unwrap();
}
