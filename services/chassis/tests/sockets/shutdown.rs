//! The shutdown, in order.

use std::io::Write;
use std::time::{Duration, Instant};

use atelier_chassis::{Drained, ServerConfig, ShutdownConfig};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{
    Running, Script, client, config, eventually, generate, next_text, origin, score, text_role, transport,
};

#[tokio::test]
async fn requests_under_way_finish_and_new_ones_are_refused() {
    let script = Script::default();
    let server = Running::start(text_role(&script, config(Duration::from_secs(30)))).await;
    let address = server.address;
    let mut under_way = client(address);
    let mut stream = under_way.generate(generate("pause 500")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let slow = tokio::spawn(async move { client(address).score(score("sleep 500")).await });
    eventually("both are under way", || script.begun() == 2).await;

    let start = Instant::now();
    let stopping = server.begin_stop();
    eventually("the listener is closed", || std::net::TcpStream::connect(address).is_err()).await;
    let refused = under_way.score(score("x")).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Unavailable | Code::Unknown), "{refused:?}");
    assert_eq!(script.begun(), 2, "no new request reached the handler");

    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "last");
    assert_eq!(next_text(&mut stream).await.unwrap(), None, "the stream ended well");
    slow.await.unwrap().unwrap();
    assert_eq!(stopping.await.unwrap(), Drained { cut: 0 });
    assert!(start.elapsed() < Duration::from_secs(10), "drained as soon as it could: {:?}", start.elapsed());
}

#[tokio::test]
async fn health_says_not_serving_while_requests_are_still_taken() {
    let script = Script::default();
    let wait = Duration::from_secs(2);
    let waits = ServerConfig {
        shutdown: ShutdownConfig { not_ready_wait: wait, drain: Duration::from_secs(10) },
        ..ServerConfig::default()
    };
    let server = Running::start(text_role(&script, waits)).await;
    let address = server.address;
    let mut health = HealthClient::with_origin(transport(), origin(address));
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);

    let start = Instant::now();
    let stopping = server.begin_stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "NOT_SERVING");
    client(address).score(score("abc")).await.unwrap();
    assert!(start.elapsed() < wait, "all that in the time between");
    // A watch lasts as long as its client likes; it must not hold up the drain.
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(stopping.await.unwrap(), Drained { cut: 0 });
    assert!((wait..wait * 3).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_takes_longer_than_the_drain_is_cut_off_with_unavailable() {
    let script = Script::default();
    let server = Running::start(text_role(&script, config(Duration::from_millis(200)))).await;
    let address = server.address;
    let mut stream = client(address).generate(generate("silent")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    let stuck = tokio::spawn(async move { client(address).score(score("sleep 60000")).await });
    eventually("both are under way", || script.begun() == 2).await;

    assert_eq!(server.stop().await, Drained { cut: 2 });
    assert_eq!(next_text(&mut stream).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(stuck.await.unwrap().unwrap_err().code(), Code::Unavailable);
    eventually("both were dropped", || script.over() == 2).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_hold_up_the_end() {
    let script = Script::default();
    let server = Running::start(text_role(&script, config(Duration::from_millis(200)))).await;
    let stream = client(server.address).generate(generate("flood")).await.unwrap().into_inner();
    let start = Instant::now();
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(stream);
    eventually("the stream was dropped", || script.over() == 1).await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_breaks_off_in_its_greeting_does_not_hold_up_the_drain() {
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM"] {
        let server = Running::start(text_role(&Script::default(), config(Duration::from_secs(30)))).await;
        let mut silent = std::net::TcpStream::connect(server.address).unwrap();
        silent.write_all(said).unwrap();
        client(server.address).score(score("x")).await.unwrap();
        let start = Instant::now();
        assert_eq!(server.stop().await, Drained { cut: 0 });
        assert!(start.elapsed() < Duration::from_secs(5), "{said:?}: {:?}", start.elapsed());
    }
}
