//! Streams that are cancelled, cut by a deadline, not read, or too many.

use std::process::Stdio;
use std::time::{Duration, Instant};

use atelier_proto::text::v1::{GenerateRequest, GenerateResponse, ScoreRequest};
use atelier_tests::client::{finish, next_chunk, with_header};
use atelier_tests::{Fleet, Start, shipped};
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

/// Much more than is written while a test runs.
fn endless(seed: u64) -> GenerateRequest {
    GenerateRequest { seed, max_chars: Some(100_000), ..Default::default() }
}

/// A fleet where two streams advance together and one waits.
fn narrow() -> Fleet {
    let start = Start::up(&shipped()).env("ATELIER_ENGINE__SLOTS", "2").env("ATELIER_ENGINE__WAITING", "1");
    start.start()
}

async fn open(fleet: &Fleet, seed: u64) -> Streaming<GenerateResponse> {
    fleet.text().generate(endless(seed)).await.unwrap().into_inner()
}

/// Whether nothing comes for a while, in which a stream that has a slot writes hundreds of characters.
async fn is_silent(stream: &mut Streaming<GenerateResponse>) -> bool {
    tokio::time::timeout(Duration::from_millis(700), next_chunk(stream)).await.is_err()
}

async fn soon(stream: &mut Streaming<GenerateResponse>) -> String {
    let chunk = tokio::time::timeout(Duration::from_secs(30), next_chunk(stream)).await;
    chunk.expect("a stream that has a slot goes on").unwrap()
}

#[tokio::test]
async fn a_stream_cancelled_by_its_client_frees_its_slot() {
    let fleet = narrow();
    let (mut first, mut second) = (open(&fleet, 1).await, open(&fleet, 2).await);
    soon(&mut first).await;
    soon(&mut second).await;
    let mut third = open(&fleet, 3).await;
    assert!(is_silent(&mut third).await, "both slots are taken");
    let refused = fleet.write(endless(4)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));

    drop(first);
    soon(&mut third).await;
    soon(&mut second).await;
    // And so does one that was cancelled while it waited.
    let mut fourth = open(&fleet, 4).await;
    assert!(is_silent(&mut fourth).await);
    drop(fourth);
    drop(third);
    let start = Instant::now();
    let short = GenerateRequest { max_chars: Some(50), ..Default::default() };
    while let Err(busy) = fleet.write(short.clone()).await {
        assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "the slot is never freed");
    }
}

#[tokio::test]
async fn a_client_that_is_killed_frees_its_slot() {
    let fleet = narrow();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut command = fleet.command(&["text", "generate", "-n", "100000"]);
        clients.push(command.stdout(Stdio::piped()).spawn().unwrap());
    }
    for client in &mut clients {
        use std::io::Read;
        client.stdout.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    }
    let mut waiting = open(&fleet, 3).await;
    assert!(is_silent(&mut waiting).await, "both slots are taken");
    clients[0].kill().unwrap();
    soon(&mut waiting).await;
    for mut client in clients {
        // The first is dead already.
        let _ = client.kill();
        client.wait().unwrap();
    }
}

#[tokio::test]
async fn a_deadline_ends_a_stream_in_its_midst_and_an_answer_before_it_comes() {
    let fleet = Fleet::shared();
    let start = Instant::now();
    let request = with_header(endless(1), "grpc-timeout", "1500m");
    let mut stream = fleet.text().generate(request).await.unwrap().into_inner();
    soon(&mut stream).await;
    let status = finish_err(stream).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let elapsed = start.elapsed().as_secs_f64();
    assert!((1.4..10.0).contains(&elapsed), "after {elapsed} s");

    let long = ScoreRequest { text: "To be, or not to be. ".repeat(4000), ..Default::default() };
    let status = fleet.text().score(with_header(long, "grpc-timeout", "200m")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let short = ScoreRequest { text: "To be".into(), ..Default::default() };
    fleet.text().score(short).await.unwrap();
}

async fn finish_err(mut stream: Streaming<GenerateResponse>) -> tonic::Status {
    loop {
        if let Err(status) = next_chunk(&mut stream).await {
            return status;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    let fleet = Fleet::shared();
    let request = |seed| GenerateRequest { seed, max_chars: Some(3000), ..Default::default() };
    let expected = fleet.write(request(9)).await.unwrap().text();
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(fleet.text().generate(request(9)).await.unwrap().into_inner());
    }
    fleet.write(request(10)).await.unwrap();
    for stream in unread {
        assert_eq!(finish(stream).await.unwrap().text(), expected);
    }
}
