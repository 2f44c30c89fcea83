//! Traces of a fleet in processes of its own, as an OTLP receiver gets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atelier_proto::codec::v1::DenoiseRequest;
use atelier_proto::codec::v1::codec_service_client::CodecServiceClient;
use atelier_proto::text::v1::GenerateRequest;
use atelier_tests::client::{finish, transport};
use atelier_tests::models::Models;
use atelier_tests::pictures::{clothes, message};
use atelier_tests::{Fleet, Start};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

/// Keeps what is exported to it.
#[derive(Clone, Default)]
struct Receiver {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|it| it.attributes).unwrap_or_default();
            let service = text(&attributes, "service.name").unwrap();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Receiver {
    /// Where it listens, until the set is dropped.
    async fn start(&self) -> (SocketAddr, JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        let mut serving = JoinSet::new();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        serving.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        (address, serving)
    }

    fn trace(&self, id: u128) -> Vec<(String, Span)> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|(_, span)| span.trace_id == id.to_be_bytes()).cloned().collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|it| it.key == key)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

fn with_trace<T>(message: T, trace: u128, sampled: bool) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("00-{trace:032x}-00f067aa0ba902b7-{:02x}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", header.parse().unwrap());
    request
}

fn models() -> Models {
    let models = Models::new();
    models.copy("fashion-dae", 1);
    models.copy("shakespeare-rnn", 1);
    models
}

/// A gateway with a codec and a text role behind it, each a process.
fn fleet(models: &Models, receiver: SocketAddr, ratio: &str) -> [Fleet; 3] {
    let traced = |start: Start| {
        start
            .env("ATELIER_TELEMETRY__OTLP_ENDPOINT", format!("http://{receiver}"))
            .env("ATELIER_TELEMETRY__SAMPLE_RATIO", ratio)
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
    };
    let role = |name: &'static str| {
        traced(Start::role(name, models.path(), "127.0.0.1:0"))
            .env("ATELIER_ENGINE__PARALLELISM", "1")
            .start()
    };
    let (codec, text) = (role("codec"), role("text"));
    let gateway = Start::gateway([("codec", codec.address()), ("text", text.address())]);
    [traced(gateway).start(), codec, text]
}

fn stop(fleet: [Fleet; 3]) {
    for process in fleet {
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
    }
}

/// The span of this name and, for requests, of this role.
fn one<'a>(spans: &'a [(String, Span)], name: &str, role: Option<&str>) -> &'a Span {
    let mut fit = spans.iter().map(|(_, span)| span).filter(|span| {
        span.name == name && role.is_none_or(|role| text(&span.attributes, "role").as_deref() == Some(role))
    });
    let span = fit.next().unwrap_or_else(|| panic!("no {name} of {role:?} among {spans:#?}"));
    assert!(fit.next().is_none(), "more than one {name} of {role:?}");
    span
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_from_the_caller_through_gateway_and_role_to_the_run() {
    const WRITTEN: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    let receiver = Receiver::default();
    let (address, _serving) = receiver.start().await;
    let models = models();
    let fleet = fleet(&models, address, "1");

    let request = GenerateRequest { seed: 1, max_chars: Some(40), ..Default::default() };
    let answer = fleet[0].text().generate(with_trace(request, WRITTEN, true)).await.unwrap();
    finish(answer.into_inner()).await.unwrap();
    // Together, until some have been run in one batch.
    let start = Instant::now();
    let (mut next, linked) = (0x1000_u128, Arc::new(Mutex::new(None)));
    while linked.lock().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "never are two requests run in one batch");
        let mut calls = JoinSet::new();
        for trace in next..next + 16 {
            let request =
                DenoiseRequest { image: message(&clothes()[1]), sigma: Some(0.2), ..Default::default() };
            let mut client = CodecServiceClient::with_origin(transport(), fleet[0].origin());
            calls.spawn(async move { client.denoise(with_trace(request, trace, true)).await.map(drop) });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap().unwrap();
        }
        next += 16;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let spans = receiver.spans.lock().unwrap();
        let batch = spans.iter().find(|(_, span)| span.name == "batch" && !span.links.is_empty());
        *linked.lock().unwrap() = batch.map(|(_, span)| span.clone());
    }
    let logs: Vec<Vec<serde_json::Value>> = fleet
        .iter()
        .map(|process| process.log().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect();
    stop(fleet);

    // The stream: caller, gateway, role, decoder.
    let spans = receiver.trace(WRITTEN);
    let services: BTreeMap<&str, usize> = spans.iter().fold(BTreeMap::new(), |mut all, (service, _)| {
        *all.entry(service.as_str()).or_default() += 1;
        all
    });
    assert_eq!(services.values().sum::<usize>(), 3, "{services:?}");
    let (door, role) = (one(&spans, "request", Some("gateway")), one(&spans, "request", Some("text")));
    let stream = one(&spans, "stream", None);
    assert_eq!(door.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(), "of the caller's span");
    assert_eq!(role.parent_span_id, door.span_id);
    assert_eq!(stream.parent_span_id, role.span_id);
    assert_eq!(text(&stream.attributes, "graph").unwrap(), "shakespeare-rnn/1/step");
    assert!(text(&stream.attributes, "steps").unwrap().parse::<u32>().unwrap() >= 40);
    assert!(door.start_time_unix_nano <= role.start_time_unix_nano);
    assert!(door.end_time_unix_nano >= role.end_time_unix_nano, "a stream's span lasts until its end");

    // The batch: in the trace of its first request, and linked to the spans of the others.
    let batch = linked.lock().unwrap().clone().unwrap();
    let requests: usize = text(&batch.attributes, "requests").unwrap().parse().unwrap();
    assert_eq!(batch.links.len(), requests - 1);
    let all = receiver.spans.lock().unwrap().clone();
    let ids = batch.links.iter().map(|link| (&link.trace_id, &link.span_id));
    for (trace, span) in ids.chain([(&batch.trace_id, &batch.parent_span_id)]) {
        let of = all.iter().find(|(_, it)| it.trace_id == *trace && it.span_id == *span);
        let (_, request) = of.expect("a span that it is linked to");
        assert_eq!(
            (request.name.as_str(), text(&request.attributes, "role").as_deref()),
            ("request", Some("codec"))
        );
    }

    // And the log lines say which trace they are of.
    let wanted = format!("{WRITTEN:032x}");
    for (lines, process) in logs.iter().zip(["gateway", "codec", "text"]) {
        let named = lines
            .iter()
            .any(|line| line["message"] == "request finished" && line["span"]["trace_id"] == wanted.as_str());
        assert_eq!(named, process != "codec", "{process} has logged its part of the trace");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sampled_is_not_sent_and_the_callers_decision_stands() {
    let receiver = Receiver::default();
    let (address, _serving) = receiver.start().await;
    let models = models();
    let fleet = fleet(&models, address, "0");
    let request = || GenerateRequest { seed: 1, max_chars: Some(5), ..Default::default() };
    for (trace, sampled) in [(1, true), (2, false)] {
        let answer = fleet[0].text().generate(with_trace(request(), trace, sampled)).await.unwrap();
        finish(answer.into_inner()).await.unwrap();
    }
    fleet[0].write(request()).await.unwrap();
    stop(fleet);
    let spans = receiver.spans.lock().unwrap();
    assert_eq!(spans.len(), 3, "of the trace that its caller has sampled: {spans:#?}");
    assert!(spans.iter().all(|(_, span)| span.trace_id == 1_u128.to_be_bytes()));
}
