//! A stream of rows in, a stream of scores out.

use atelier_chassis::{Deadline, ServiceError, models};
use atelier_engine::Engine;
use atelier_proto::codec::v1 as api;
use atelier_proto::codec::v1::detect_anomalies_request::Message;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tonic::Status;

use super::{Watch, fields};

/// Where a stream stands.
enum State<S> {
    /// Nothing has come yet.
    Start(S),
    /// Rows are coming.
    Rows(S, Box<Watch>),
    /// The last answer is given.
    End,
}

/// Answers each message before the next is read: what is not answered yet waits with its sender, and nothing
/// is computed for one who does not take the answers.
pub(crate) fn stream(
    engine: Engine,
    requests: impl Stream<Item = Result<api::DetectAnomaliesRequest, Status>> + Send + Unpin + 'static,
    deadline: Option<Deadline>,
) -> BoxStream<'static, Result<api::DetectAnomaliesResponse, Status>> {
    let step = move |state| {
        let engine = engine.clone();
        async move {
            match state {
                State::Start(requests) => begin(&engine, requests, deadline).await.map(Some),
                State::Rows(requests, watch) => go_on(requests, watch).await.map(Some),
                State::End => Ok(None),
            }
        }
    };
    stream::try_unfold(State::Start(requests), step).boxed()
}

type Step<S> = Result<(api::DetectAnomaliesResponse, State<S>), Status>;

async fn begin<S>(engine: &Engine, mut requests: S, deadline: Option<Deadline>) -> Step<S>
where
    S: Stream<Item = Result<api::DetectAnomaliesRequest, Status>> + Unpin,
{
    let request = requests.next().await.transpose()?.and_then(|request| request.message);
    let Some(Message::Start(start)) = request else {
        let message = "is missing, but the first message must name the channel";
        return Err(ServiceError::invalid("start", message).into());
    };
    let model = (start.model.as_str(), start.version);
    let watch = Watch::new(engine, model, ("start.channel", &start.channel), deadline)?;
    Ok((answer(&watch), State::Rows(requests, Box::new(watch))))
}

async fn go_on<S>(mut requests: S, mut watch: Box<Watch>) -> Step<S>
where
    S: Stream<Item = Result<api::DetectAnomaliesRequest, Status>> + Unpin,
{
    match requests.next().await.transpose()? {
        Some(api::DetectAnomaliesRequest { message: Some(Message::Rows(message)) }) => {
            fields::message("rows.rows", &message.rows)?;
            let watched = watch.push("rows.rows", &message.rows).await?;
            let answer = api::DetectAnomaliesResponse {
                first_row: watched.first_row,
                scores: watched.scores,
                alarms: watched.alarms,
                ..answer(&watch)
            };
            Ok((answer, State::Rows(requests, watch)))
        }
        Some(api::DetectAnomaliesRequest { message: Some(Message::Start(_)) }) => {
            Err(ServiceError::invalid("start", "comes again, but only the first message may have it").into())
        }
        Some(api::DetectAnomaliesRequest { message: None }) => {
            Err(ServiceError::invalid("rows", "is missing, but every message after the first has rows")
                .into())
        }
        None if watch.rows() == 0 => {
            let message = "is missing: the stream ended without a row, but at least one is right";
            Err(ServiceError::invalid("rows", message).into())
        }
        None => {
            let alarms = watch.open().into_iter().collect();
            Ok((api::DetectAnomaliesResponse { alarms, ..answer(&watch) }, State::End))
        }
    }
}

/// An answer without scores.
fn answer(watch: &Watch) -> api::DetectAnomaliesResponse {
    api::DetectAnomaliesResponse {
        model: Some(models::model_version(&watch.model)),
        first_row: watch.rows(),
        scores: Vec::new(),
        alarms: Vec::new(),
    }
}
