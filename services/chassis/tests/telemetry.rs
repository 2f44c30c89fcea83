//! Traces reach a collector, and one trace goes through from the caller to the role. In a process of its
//! own, since telemetry is set up once in each.

// Clippy knows test functions, and not what they call.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use atelier_chassis::telemetry::{Telemetry, TelemetryConfig, propagation};
use atelier_chassis::trace::TraceLayer;
use atelier_chassis::{Request, Response, Server, ServerConfig};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const CALLERS_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector: takes what is exported to it and answers with an empty message.
async fn collector(received: Arc<Mutex<Vec<u8>>>) -> String {
    let export = service_fn(move |request: Request| {
        let received = Arc::clone(&received);
        async move {
            assert_eq!(request.uri().path(), EXPORT);
            let message = request.into_body().collect().await.unwrap().to_bytes();
            received.lock().unwrap().extend_from_slice(&message);
            let trailers =
                HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
            let answer = Full::from(&[0, 0, 0, 0, 0][..]).with_trailers(async { Some(Ok(trailers)) });
            let response = http::Response::builder().header("content-type", "application/grpc");
            Ok::<Response, Infallible>(response.body(Body::new(answer)).unwrap())
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::new("collector", ServerConfig::default()).fallback(export);
    tokio::spawn(server.serve(listener, std::future::pending()));
    endpoint
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_and_belong_to_the_callers_trace() {
    let received = Arc::default();
    let otlp_endpoint = Some(collector(Arc::clone(&received)).await);
    let telemetry =
        Telemetry::init("atelier-test", &TelemetryConfig { otlp_endpoint, ..Default::default() }).unwrap();

    // A handler that would send a request on, as the gateway does.
    let handler = service_fn(|_: Request| async {
        let mut headers = HeaderMap::new();
        propagation::inject(&mut headers);
        Ok::<Response, Infallible>(
            http::Response::builder()
                .header("sent-on", headers["traceparent"].clone())
                .body(Body::empty())
                .unwrap(),
        )
    });
    let caller = format!("00-{CALLERS_TRACE}-00f067aa0ba902b7-01");
    let request = http::Request::builder().header("traceparent", &caller).body(Body::empty()).unwrap();
    let response = TraceLayer::new("test-role").layer(handler).oneshot(request).await.unwrap();
    let sent_on = response.headers()["sent-on"].to_str().unwrap().to_owned();
    drop(response);
    assert!(sent_on.starts_with(&format!("00-{CALLERS_TRACE}-")), "{sent_on}");
    assert_ne!(sent_on, caller, "the span sent on is our own");

    telemetry.shutdown().await;
    let received = received.lock().unwrap();
    assert!(contains(&received, b"atelier-test"), "the name of the service");
    assert!(contains(&received, b"test-role"), "the field of the span");
    let trace_id: Vec<u8> =
        (0..16).map(|i| u8::from_str_radix(&CALLERS_TRACE[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert!(contains(&received, &trace_id), "the caller's trace");
}
