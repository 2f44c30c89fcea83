//! Stopping: what is under way is finished or cut within the bound, and the exit code is 0.

use std::time::{Duration, Instant};

use atelier_proto::text::v1::{GenerateRequest, ScoreRequest};
use atelier_tests::client::{finish, next_chunk};
use atelier_tests::{Fleet, Start, shipped};
use tonic::Code;

fn generate(max_chars: u32) -> GenerateRequest {
    GenerateRequest { seed: 5, max_chars: Some(max_chars), ..Default::default() }
}

/// Waits until nobody is let in any more.
async fn closed(fleet: &Fleet) {
    let start = Instant::now();
    while std::net::TcpStream::connect(fleet.address()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "it still takes connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// A client that is not running does not answer the server's last ping, which so takes it for slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_under_way_is_finished_before_the_fleet_ends() {
    for signal in ["TERM", "INT"] {
        let fleet = Start::up(&shipped()).start();
        let expected = fleet.write(generate(4000)).await.unwrap().text();
        let mut client = fleet.text();
        let stream = client.generate(generate(4000)).await.unwrap().into_inner();
        fleet.signal(signal);
        closed(&fleet).await;
        let late = client.score(ScoreRequest { text: "To be".into(), ..Default::default() }).await;
        // Refused by the server, or in its place by the client, which finds no connection to be had.
        let code = late.unwrap_err().code();
        assert!(matches!(code, Code::Unavailable | Code::Unknown), "nothing new is taken: {code:?}");
        let written = finish(stream).await.unwrap();
        assert_eq!(written.text(), expected, "to the last character");
        assert_eq!(fleet.wait(), Some(0), "SIG{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_end_is_cut_within_the_bound() {
    let fleet = Start::up(&shipped()).env("ATELIER_SERVER__SHUTDOWN__DRAIN", "1s").start();
    let mut stream = fleet.text().generate(generate(100_000)).await.unwrap().into_inner();
    next_chunk(&mut stream).await.unwrap();
    let start = Instant::now();
    fleet.signal("TERM");
    let status = loop {
        match next_chunk(&mut stream).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let cut = start.elapsed().as_secs_f64();
    assert!((0.9..8.0).contains(&cut), "cut after {cut} s");
    assert_eq!(fleet.wait(), Some(0));
    let end = start.elapsed();
    assert!(end < Duration::from_secs(12), "ended after {end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_fleet_ends_at_once() {
    let fleet = Start::up(&shipped()).start();
    // An open connection and a health watch are no reason to stay.
    let mut health = fleet.health();
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    let start = Instant::now();
    fleet.signal("TERM");
    assert_eq!(fleet.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
