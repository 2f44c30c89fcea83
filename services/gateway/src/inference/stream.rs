//! `ModelStreamInfer` for the fleet: one stream, whose requests go to several roles.
//!
//! Each role that is asked anything gets one stream. It answers its requests in their order, so it is enough to
//! keep in which order the roles were asked to answer the caller in the order of the requests.

use std::collections::HashMap;
use std::sync::Arc;

use atelier_chassis::{Deadline, Request, Response, ServiceError};
use atelier_proto::inference as api;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tower::service_fn;

use super::Catalog;
use super::peek;
use super::raw::Raw;
use super::replay::malformed;
use crate::backend::Backend;

const PATH: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// Requests that are under way or on their way to one role, as many as a role lets overlap. More wait unread.
const OVERLAP: usize = 64;

type Answers = Arc<Mutex<Streaming<Bytes>>>;

/// Who answers the next request.
enum Next {
    /// A role.
    Role(Answers),
    /// Nobody but us.
    Here(Bytes),
    /// Nobody: the stream ends so.
    Broken(Status),
}

/// Answers the stream.
pub(super) async fn serve(catalog: Arc<Catalog>, max_message_bytes: usize, request: Request) -> Response {
    let service = service_fn(move |request: tonic::Request<Streaming<Bytes>>| {
        let answers = answers(Arc::clone(&catalog), request);
        async move { Ok::<_, Status>(tonic::Response::new(answers)) }
    });
    Grpc::new(Raw)
        .apply_max_message_size_config(Some(max_message_bytes), Some(usize::MAX))
        .streaming(service, request)
        .await
}

fn answers(
    catalog: Arc<Catalog>,
    request: tonic::Request<Streaming<Bytes>>,
) -> BoxStream<'static, Result<Bytes, Status>> {
    let (order, turns) = mpsc::channel(OVERLAP);
    let deadline = Deadline::of(&request);
    let (metadata, _, requests) = request.into_parts();
    let spread = Spread { catalog, metadata, deadline, roles: HashMap::new(), order };
    let mut pump = JoinSet::new();
    pump.spawn(spread.run(requests));
    // With the answers goes the task, and with that the roles' streams.
    futures_util::stream::unfold((turns, pump), |(mut turns, pump)| async move {
        let answer = match turns.recv().await? {
            Next::Here(answer) => Ok(answer),
            Next::Broken(status) => Err(status),
            Next::Role(answers) => match answers.lock().await.message().await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(ServiceError::unavailable("a role ended its stream before its time").into()),
                Err(status) => Err(status),
            },
        };
        Some((answer, (turns, pump)))
    })
    // tonic ends the stream with the first error.
    .boxed()
}

/// Hands requests to the roles.
struct Spread {
    catalog: Arc<Catalog>,
    metadata: MetadataMap,
    deadline: Option<Deadline>,
    roles: HashMap<String, (mpsc::Sender<Bytes>, Answers)>,
    order: mpsc::Sender<Next>,
}

impl Spread {
    async fn run(mut self, mut requests: Streaming<Bytes>) {
        loop {
            let next = match requests.message().await {
                Ok(Some(request)) => self.next(request).await.unwrap_or_else(Next::Broken),
                Ok(None) => return,
                Err(status) => Next::Broken(status),
            };
            let last = matches!(next, Next::Broken(_));
            // Nobody listens any more where the caller is gone.
            if self.order.send(next).await.is_err() || last {
                return;
            }
        }
    }

    async fn next(&mut self, request: Bytes) -> Result<Next, Status> {
        let name = peek::name(&request).map_err(malformed)?;
        let backend = match self.catalog.find("model_name", &name).await {
            Ok(backend) => backend,
            Err(error) => return Ok(Next::Here(refusal(&request, error)?)),
        };
        let (requests, answers) = match self.roles.get(&backend.role) {
            Some(role) => role.clone(),
            None => {
                let role = self.open(&backend).await?;
                self.roles.insert(backend.role.clone(), role.clone());
                role
            }
        };
        // A role that is gone says why in its answers.
        let _ = requests.send(request).await;
        Ok(Next::Role(answers))
    }

    async fn open(&self, backend: &Backend) -> Result<(mpsc::Sender<Bytes>, Answers), Status> {
        let (sender, receiver) = mpsc::channel(OVERLAP);
        let receiver =
            futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async move {
                receiver.recv().await.map(|request| (request, receiver))
            });
        let mut request = tonic::Request::new(receiver);
        *request.metadata_mut() = self.metadata.clone();
        if let Some(deadline) = self.deadline {
            // What is left of it is told with each attempt.
            request.extensions_mut().insert(deadline);
        }
        let mut client =
            tonic::client::Grpc::new(backend.upstream.clone()).max_decoding_message_size(usize::MAX);
        client.ready().await?;
        let answers = client.streaming(request, PathAndQuery::from_static(PATH), Raw).await?.into_inner();
        Ok((sender, Arc::new(Mutex::new(answers))))
    }
}

/// The answer to a request that no role gets.
fn refusal(request: &Bytes, error: ServiceError) -> Result<Bytes, Status> {
    let asked = api::ModelInferRequest::decode(request.clone());
    let id = asked.map_err(|error| malformed(&error.to_string()))?.id;
    let answer = api::ModelStreamInferResponse {
        error_message: Status::from(error).message().to_owned(),
        infer_response: Some(api::ModelInferResponse { id, ..Default::default() }),
    };
    Ok(answer.encode_to_vec().into())
}
