//! A service whose behaviour its requests ask for, servers of it on real sockets, and clients.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier_chassis::{Deadline, Drained, Health, Server, ServerConfig, ServiceError, ShutdownConfig};
use atelier_proto::text::v1::generate_response::Event;
use atelier_proto::text::v1::text_service_client::TextServiceClient;
use atelier_proto::text::v1::text_service_server::{TextService, TextServiceServer};
use atelier_proto::text::v1::{Chunk, GenerateRequest, GenerateResponse, ScoreRequest, ScoreResponse};
use futures_util::{Stream, StreamExt, stream};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::{Request, Response, Status};

/// Does what `prompt` or `text` says.
#[derive(Clone, Default)]
pub struct Script {
    /// Handlers and streams that have begun.
    pub begun: Arc<AtomicUsize>,
    /// Of those, the ones that are over.
    pub over: Arc<AtomicUsize>,
}

struct Under(Arc<AtomicUsize>);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Script {
    fn enter(&self) -> Under {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Under(Arc::clone(&self.over))
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub fn over(&self) -> usize {
        self.over.load(Ordering::SeqCst)
    }
}

fn chunk(text: impl Into<String>) -> Result<GenerateResponse, Status> {
    Ok(GenerateResponse { event: Some(Event::Chunk(Chunk { text: text.into() })) })
}

#[tonic::async_trait]
impl TextService for Script {
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateResponse, Status>> + Send>>;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let under = self.enter();
        let prompt = request.into_inner().prompt;
        let script: Self::GenerateStream = match prompt.split_once(' ').unwrap_or((&prompt, "")) {
            ("count", n) => {
                Box::pin(stream::iter((0..n.parse().unwrap()).map(|n: u32| chunk(n.to_string()))))
            }
            // Slow enough to be under way when the test goes on, and then it ends by itself.
            ("pause", ms) => {
                let pause = Duration::from_millis(ms.parse().unwrap());
                let last = stream::once(async move {
                    tokio::time::sleep(pause).await;
                    chunk("last")
                });
                Box::pin(stream::iter([chunk("first")]).chain(last))
            }
            ("silent", _) => Box::pin(stream::iter([chunk("first")]).chain(stream::pending())),
            ("flood", _) => Box::pin(stream::repeat_with(|| chunk("x".repeat(1000)))),
            ("fail", _) => {
                let error = ServiceError::busy("the queue is full", Duration::from_millis(70));
                Box::pin(stream::iter([chunk("first"), Err(error.into())]))
            }
            // With a pause, since messages that are ready together are sent together.
            ("panic", _) => Box::pin(stream::iter([chunk("first")]).chain(stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                panic!("as asked")
            }))),
            (other, _) => return Err(ServiceError::invalid("prompt", format!("is {other:?}")).into()),
        };
        Ok(Response::new(Box::pin(script.map(move |item| {
            let _ = &under;
            item
        }))))
    }

    /// Answers with what is left until the deadline, in seconds, as `bits_per_char`, and the characters
    /// of the text as `chars`.
    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let _under = self.enter();
        let left = Deadline::of(&request).map_or(-1.0, |deadline| deadline.remaining().as_secs_f64());
        let id = request.metadata().get("x-request-id").cloned();
        let text = request.into_inner().text;
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("sleep", ms) => tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await,
            ("invalid", _) => {
                return Err(ServiceError::invalid("text", "is \"invalid\", must be else").into());
            }
            ("busy", _) => return Err(ServiceError::busy("full", Duration::from_millis(70)).into()),
            ("panic", _) => panic!("as asked"),
            _ => {}
        }
        let chars = text.chars().count().try_into().unwrap();
        let mut response = Response::new(ScoreResponse { chars, bits_per_char: left, ..Default::default() });
        if let Some(id) = id {
            response.metadata_mut().insert("seen-request-id", id);
        }
        Ok(response)
    }
}

/// A server that drains fast.
pub fn config(drain: Duration) -> ServerConfig {
    ServerConfig {
        shutdown: ShutdownConfig { not_ready_wait: Duration::ZERO, drain },
        ..ServerConfig::default()
    }
}

/// A role that serves the script, and is ready.
pub fn text_role(script: &Script, config: ServerConfig) -> Server {
    let service = TextServiceServer::new(script.clone()).max_decoding_message_size(config.max_message_bytes);
    let server =
        Server::new("text", config).add_service(service).descriptor_set(atelier_proto::FILE_DESCRIPTOR_SET);
    server.health().set_ready();
    server
}

/// A server under way.
pub struct Running {
    pub address: SocketAddr,
    pub health: Health,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl Running {
    pub async fn start(server: Server) -> Self {
        let health = server.health();
        Self::run(health, |listener, stop| async move { server.serve(listener, stop).await.unwrap() }).await
    }

    pub async fn run<F>(
        health: Health,
        serve: impl FnOnce(TcpListener, Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
    ) -> Self
    where
        F: Future<Output = Drained> + Send + 'static,
    {
        Self::run_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), health, serve)
    }

    pub fn run_on<F>(
        listener: TcpListener,
        health: Health,
        serve: impl FnOnce(TcpListener, Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
    ) -> Self
    where
        F: Future<Output = Drained> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(async move {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serve(listener, stopped));
        Self { address, health, stop, serving }
    }

    /// Asks it to stop; the handle resolves when it has drained.
    pub fn begin_stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.serving
    }

    pub async fn stop(self) -> Drained {
        self.begin_stop().await.unwrap()
    }
}

/// A transport that minds no deadline, so that what answers is the server.
pub type Transport = Client<HttpConnector, Body>;

pub fn transport() -> Transport {
    let mut connector = HttpConnector::new();
    // Or a small message waits for the acknowledgement of its headers.
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

pub fn origin(address: SocketAddr) -> http::Uri {
    format!("http://{address}").parse().unwrap()
}

pub fn client(address: SocketAddr) -> TextServiceClient<Transport> {
    TextServiceClient::with_origin(transport(), origin(address))
}

pub fn generate(prompt: &str) -> GenerateRequest {
    GenerateRequest { prompt: prompt.into(), ..Default::default() }
}

pub fn score(text: &str) -> ScoreRequest {
    ScoreRequest { text: text.into(), ..Default::default() }
}

pub fn with_header<T>(message: T, name: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, value.parse().unwrap());
    request
}

/// The text of the next event.
pub async fn next_text(stream: &mut tonic::Streaming<GenerateResponse>) -> Result<Option<String>, Status> {
    Ok(stream.message().await?.map(|response| match response.event {
        Some(Event::Chunk(chunk)) => chunk.text,
        other => panic!("not a chunk: {other:?}"),
    }))
}

/// Waits for what is about to become true; fails the test where it does not.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about that {what}");
}
