//! Calls that are sent again, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier_chassis::Metrics;
use atelier_gateway::{Gateway, GatewayConfig, Route};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use crate::authority::Authority;
use crate::fleet::{TEXT, gateway, route, serving};
use crate::support::{client, score};

/// Refuses the first call, breaks the second off, and has nothing for those after them.
async fn refuse_and_break_off(socket: TcpStream, calls: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        // Whether it serves it does not say.
        if request.uri().path().starts_with("/atelier.text.") {
            match calls.fetch_add(1, Ordering::SeqCst) {
                0 => answer.send_reset(h2::Reason::REFUSED_STREAM),
                1 => answer.send_reset(h2::Reason::INTERNAL_ERROR),
                _ => {
                    let status = http::Response::builder().header("content-type", "application/grpc");
                    let status = status.header("grpc-status", "5").body(()).unwrap();
                    answer.send_response(status, true).unwrap();
                }
            }
        }
        held.push((request, answer));
    }
}

#[tokio::test]
async fn a_call_that_was_refused_first_is_sent_again_where_it_is_lost_then() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(refuse_and_break_off(socket, Arc::clone(&count)));
        }
    });
    let gateway = gateway(vec![route("text", TEXT, address)]).await;
    let status = client(gateway.address).score(score("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn of_machines_that_are_gone_without_a_word_a_call_tries_two_at_most() {
    // The system connects for them, and nobody answers the first word of TLS.
    let mut machines = Vec::new();
    for _ in 0..3 {
        machines.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let uris = machines.iter().map(|machine| format!("https://{}", machine.local_addr().unwrap()));
    let uri = uris.collect::<Vec<_>>().join(",");
    let authority = Authority::new();
    let config = GatewayConfig {
        routes: vec![Route { role: "text".into(), services: vec![TEXT.into()], uri }],
        connect_timeout_ms: 300,
        upstream_tls: authority.client(),
        ..GatewayConfig::default()
    };
    let metrics = Metrics::default();
    let gateway = serving(Gateway::new(config).unwrap().metrics(&metrics)).await;
    let mut client = client(gateway.address);
    let call = client.score(score("x"));
    let status = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the text role cannot be reached"));
    let text = metrics.text().unwrap();
    let again = "atelier_gateway_retries_total{backend=\"text\",reason=\"unreachable\"} ";
    let again = text.lines().find_map(|line| line.strip_prefix(again)).unwrap();
    assert!(again.parse::<u64>().unwrap() <= 1, "{again}");
}
