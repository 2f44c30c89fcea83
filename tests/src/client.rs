//! Clients over real sockets, and what they are answered.

use atelier_proto::audio::v1::audio_service_client::AudioServiceClient;
use atelier_proto::codec::v1::codec_service_client::CodecServiceClient;
use atelier_proto::image::v1::image_service_client::ImageServiceClient;
use atelier_proto::models::v1::model_service_client::ModelServiceClient;
use atelier_proto::text::v1::generate_response::Event;
use atelier_proto::text::v1::text_service_client::TextServiceClient;
use atelier_proto::text::v1::{Finished, GenerateRequest, GenerateResponse, Started};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::Fleet;

/// A transport that minds no deadline of its own, so that what answers is always the server.
pub type Transport = Client<HttpConnector, Body>;

/// A transport with connections of its own.
pub fn transport() -> Transport {
    let mut connector = HttpConnector::new();
    // Or a small message waits for the acknowledgement of its headers.
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

impl Fleet {
    /// Its address as the origin of requests.
    pub fn origin(&self) -> http::Uri {
        format!("http://{}", self.address()).parse().unwrap()
    }

    /// A client over a connection of its own.
    pub fn audio(&self) -> AudioServiceClient<Transport> {
        AudioServiceClient::with_origin(transport(), self.origin())
    }

    /// A client over a connection of its own.
    pub fn codec(&self) -> CodecServiceClient<Transport> {
        CodecServiceClient::with_origin(transport(), self.origin())
    }

    /// A client over a connection of its own.
    pub fn image(&self) -> ImageServiceClient<Transport> {
        ImageServiceClient::with_origin(transport(), self.origin())
    }

    /// A client over a connection of its own.
    pub fn text(&self) -> TextServiceClient<Transport> {
        TextServiceClient::with_origin(transport(), self.origin())
    }

    /// A client over a connection of its own.
    pub fn models(&self) -> ModelServiceClient<Transport> {
        ModelServiceClient::with_origin(transport(), self.origin())
    }

    /// A client over a connection of its own.
    pub fn health(&self) -> HealthClient<Transport> {
        HealthClient::with_origin(transport(), self.origin())
    }

    /// Whether a service is being served; `None` where there is none of this name.
    pub async fn is_serving(&self, service: &str) -> Option<bool> {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        match self.health().check(request).await {
            Ok(answer) => Some(answer.into_inner().status == 1),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status:?}"),
        }
    }

    /// A continuation, from its first event to its last.
    pub async fn write(&self, request: GenerateRequest) -> Result<Written, Status> {
        finish(self.text().generate(request).await?.into_inner()).await
    }
}

/// A continuation as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The first event.
    pub started: Started,
    /// The text of each chunk.
    pub chunks: Vec<String>,
    /// The last event.
    pub finished: Finished,
}

impl Written {
    /// The whole text.
    pub fn text(&self) -> String {
        self.chunks.concat()
    }
}

/// Reads a continuation to its end. Events in another order than the API's fail the test.
pub async fn finish(mut stream: Streaming<GenerateResponse>) -> Result<Written, Status> {
    let Some(Event::Started(started)) = next(&mut stream).await? else { panic!("it begins with no Started") };
    let mut chunks = Vec::new();
    loop {
        match next(&mut stream).await? {
            Some(Event::Chunk(chunk)) => chunks.push(chunk.text),
            Some(Event::Finished(finished)) => {
                assert_eq!(next(&mut stream).await?, None, "nothing comes after Finished");
                return Ok(Written { started, chunks, finished });
            }
            other => panic!("{other:?} after {} chunks", chunks.len()),
        }
    }
}

/// The next event; `None` at the end of the stream.
pub async fn next(stream: &mut Streaming<GenerateResponse>) -> Result<Option<Event>, Status> {
    Ok(stream.message().await?.map(|response| response.event.expect("every message is an event")))
}

/// The next chunk of text. Fails the test where the stream has come to its end.
pub async fn next_chunk(stream: &mut Streaming<GenerateResponse>) -> Result<String, Status> {
    loop {
        match next(stream).await? {
            Some(Event::Chunk(chunk)) => return Ok(chunk.text),
            Some(Event::Started(_)) => {}
            other => panic!("no chunk but {other:?}"),
        }
    }
}

/// The request with a header.
pub fn with_header<T>(message: T, name: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(MetadataKey::<Ascii>::from_static(name), value.parse().unwrap());
    request
}

/// The field that an answer blames. It must be INVALID_ARGUMENT, name one field both ways, and say more.
pub fn blamed(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().expect("details of the field").field_violations;
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert!(status.message().starts_with(&format!("{}: ", violation.field)), "{status:?}");
    assert!(violation.description.len() > 10, "says what would be right: {violation:?}");
    violation.field.clone()
}
