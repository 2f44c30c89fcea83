//! The methods of `TextService`.

use std::sync::Arc;
use std::time::Duration;

use atelier_chassis::{Deadline, ServiceError, models};
use atelier_engine::{Engine, EngineError, Model, Sampler, seed};
use atelier_package::Kind;
use atelier_proto::text::v1 as api;
use atelier_proto::text::v1::generate_response::Event;
use atelier_proto::text::v1::text_service_server::TextService;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::fields;
use crate::generate::{End, Generating, Piece};
use crate::score::Scoring;
use crate::vocabulary::Vocabulary;

/// Kinds that make text.
const KINDS: [Kind; 1] = [Kind::CharRnn];
/// What is read where there is no prompt.
const START: char = '\n';
/// The most pieces that are put together into one message.
const PIECES: usize = 64;
/// The least time between messages of a stream: a reader sees no difference, and a message for each character would
/// cost more than the character.
const GAP: Duration = Duration::from_millis(2);
/// For each stream that there is: 1,250 messages a second in sum, up to 62 streams. What they cost is taken from the
/// steps.
const GAP_A_STREAM: Duration = Duration::from_micros(800);
/// The most: this, too, reads as if it flowed.
const LONGEST_GAP: Duration = Duration::from_millis(50);

/// `TextService` over the models of an engine.
#[derive(Debug, Clone)]
pub struct Text {
    engine: Engine,
}

impl Text {
    /// Serves the models that `engine` has loaded.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    fn model(&self, name: &str, version: u32) -> Result<(Arc<Model>, Vocabulary), ServiceError> {
        let model = models::resolve(&self.engine, name, version, &KINDS)?;
        tracing::debug!(model = %model.name(), version = %model.version(), "chose a model");
        let none = || ServiceError::internal(format!("model {} has no vocabulary", model.name()));
        let vocabulary = Vocabulary::new(&model.manifest().vocabulary.as_ref().ok_or_else(none)?.characters);
        Ok((model, vocabulary))
    }
}

#[tonic::async_trait]
impl TextService for Text {
    type GenerateStream = BoxStream<'static, Result<api::GenerateResponse, Status>>;

    async fn generate(
        &self,
        request: Request<api::GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let deadline = Deadline::of(&request).map(Deadline::instant);
        let request = request.into_inner();
        let (model, vocabulary) = self.model(&request.model, request.version)?;
        let max_chars = fields::max_chars(request.max_chars)?;
        let sampling = fields::sampling(&request)?;
        let stops = fields::stops(&request.stop)?;
        let unknown = fields::unknown_characters(request.unknown_characters)?;
        let prompt = fields::text("prompt", &request.prompt, &vocabulary, unknown)?;
        let replaced = count(prompt.replaced);
        let mut prompt = tokens(prompt.ids);
        if prompt.is_empty() {
            let none =
                "is empty, but this model knows no line break to begin after; one character or more is right";
            let start = vocabulary.id(START).ok_or_else(|| ServiceError::invalid("prompt", none))?;
            prompt = tokens(vec![start]);
        }
        let seed = seed::resolve(request.seed);
        let mut cursor = Generating::new(prompt, vocabulary, Sampler::new(sampling, seed), stops, max_chars);
        let over = cursor.over();
        let decoder = model.decoder().map_err(ServiceError::from)?;
        let pieces = decoder.stream(cursor, deadline).map_err(ServiceError::from)?;
        let crowd = decoder.clone();

        let model = Some(models::model_version(&model));
        let started = message(Event::Started(api::Started { model, seed, replaced }));
        let stop = request.stop;
        let rest = paced(pieces.ready_chunks(PIECES), move || gap(crowd.streams()), over)
            .flat_map(move |pieces| stream::iter(messages(pieces, &stop)));
        Ok(Response::new(stream::iter([Ok(started)]).chain(rest).boxed()))
    }

    async fn score(
        &self,
        request: Request<api::ScoreRequest>,
    ) -> Result<Response<api::ScoreResponse>, Status> {
        let deadline = Deadline::of(&request).map(Deadline::instant);
        let request = request.into_inner();
        let (model, vocabulary) = self.model(&request.model, request.version)?;
        let unknown = fields::unknown_characters(request.unknown_characters)?;
        let context = fields::text("context", &request.context, &vocabulary, unknown)?;
        let text = fields::text("text", &request.text, &vocabulary, unknown)?;
        let replaced = count(context.replaced + text.replaced);
        match (context.ids.len(), text.ids.len()) {
            (_, 0) => {
                return Err(
                    ServiceError::invalid("text", "is empty, but a character or more is right").into()
                );
            }
            (0, 1) => {
                let message =
                    "has 1 character, but without a `context` 2 or more are right: the first is not scored";
                return Err(ServiceError::invalid("text", message).into());
            }
            _ => {}
        }
        let first_scored = context.ids.len().max(1);
        let ids = [context.ids, text.ids].concat();
        let decoder = model.decoder().map_err(ServiceError::from)?;
        let mut stream =
            decoder.stream(Scoring::new(tokens(ids), first_scored), deadline).map_err(ServiceError::from)?;
        let none = || ServiceError::internal("scoring ended without a score");
        let scored = stream.next().await.ok_or_else(none)?.map_err(ServiceError::from)?;
        let log_probabilities = match request.per_character {
            true => scored.log_probabilities.iter().map(|x| *x as f32).collect(),
            false => Vec::new(),
        };
        Ok(Response::new(api::ScoreResponse {
            model: Some(models::model_version(&model)),
            log_likelihood: scored.log_likelihood(),
            bits_per_char: scored.bits_per_char(),
            chars: count(scored.log_probabilities.len()),
            log_probabilities,
            replaced,
        }))
    }
}

/// The least time between messages of each of so many streams.
fn gap(streams: usize) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    GAP_A_STREAM.saturating_mul(streams).clamp(GAP, LONGEST_GAP)
}

/// The items of a stream, the first at once, the others at least a `gap` apart, and the rest at once when it is `over`.
/// In between nobody looks whether there is more, so that whoever makes it need not wake anybody.
fn paced<T>(
    stream: impl Stream<Item = T> + Unpin + Send,
    gap: impl Fn() -> Duration + Send,
    over: oneshot::Receiver<()>,
) -> impl Stream<Item = T> + Send {
    stream::unfold((stream, gap, over, None), |(mut stream, gap, mut over, not_before)| async move {
        // Once it is over nobody waits any more, and it is not asked again.
        let mut ended = over.is_terminated();
        if let Some(not_before) = not_before
            && !ended
        {
            ended = tokio::time::timeout_at(not_before, &mut over).await.is_ok();
        }
        let item = stream.next().await?;
        let not_before = (!ended).then(|| Instant::now() + gap());
        Some((item, (stream, gap, over, not_before)))
    })
}

/// Some pieces as few messages. After an error or the end there is nothing more.
fn messages(
    pieces: Vec<Result<Piece, EngineError>>,
    stop: &[String],
) -> Vec<Result<api::GenerateResponse, Status>> {
    let mut text = String::new();
    let mut last = None;
    for piece in pieces {
        match piece {
            Ok(piece) => {
                text += &piece.text;
                last = last.or(piece.end.map(|end| Ok(message(Event::Finished(finished(end, stop))))));
            }
            Err(error) => last = last.or(Some(Err(Status::from(ServiceError::from(error))))),
        }
    }
    let chunk = (!text.is_empty()).then(|| Ok(message(Event::Chunk(api::Chunk { text }))));
    chunk.into_iter().chain(last).collect()
}

fn finished(end: End, stop: &[String]) -> api::Finished {
    let reason = match end.stop {
        Some(_) => api::FinishReason::Stop,
        None => api::FinishReason::MaxChars,
    };
    let stop = end.stop.and_then(|i| stop.get(i)).cloned().unwrap_or_default();
    api::Finished { reason: reason.into(), chars: count(end.sent), stop }
}

fn message(event: Event) -> api::GenerateResponse {
    api::GenerateResponse { event: Some(event) }
}

/// Ids are places in a vocabulary of 65536 characters at most.
fn tokens(ids: Vec<usize>) -> Vec<i64> {
    ids.into_iter().map(|id| i64::try_from(id).unwrap_or(i64::MAX)).collect()
}

/// Counts are bounded by the lengths that requests may have.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, end: Option<End>) -> Result<Piece, EngineError> {
        Ok(Piece { text: text.into(), end })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_item_is_sent_at_once_and_the_others_apart() {
        let (_alive, over) = oneshot::channel();
        let start = Instant::now();
        let sent = paced(stream::iter(0..3), || GAP, over)
            .map(|item| (item, start.elapsed()))
            .collect::<Vec<_>>()
            .await;
        // The paused clock goes on by whole milliseconds.
        assert_eq!((sent[0], sent.len()), ((0, Duration::ZERO), 3));
        assert!(sent.windows(2).all(|two| two[1].1 - two[0].1 >= GAP), "{sent:?}");
        assert!(sent[2].1 < 4 * GAP, "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_when_a_stream_is_over_is_sent_at_once() {
        let start = Instant::now();
        let (alive, over) = oneshot::channel();
        let mut sent = Box::pin(paced(stream::iter(0..4), || LONGEST_GAP, over));
        assert_eq!(sent.next().await, Some(0));
        let ends = async {
            tokio::time::sleep(GAP).await;
            drop(alive);
        };
        let (second, ()) = tokio::join!(sent.next(), ends);
        assert_eq!((second, sent.next().await, sent.next().await), (Some(1), Some(2), Some(3)));
        assert!(start.elapsed() < 2 * GAP, "{:?}", start.elapsed());
    }

    #[test]
    fn the_more_streams_there_are_the_fewer_messages_each_has() {
        assert_eq!([0, 1, 2].map(gap), [GAP; 3]);
        assert_eq!([10, 32, 1000, usize::MAX].map(|n| gap(n).as_micros()), [8000, 25_600, 50_000, 50_000]);
    }

    #[test]
    fn pieces_that_are_ready_together_are_one_chunk_and_the_end_follows() {
        let end = Some(End { stop: Some(1), sent: 3 });
        let out =
            messages(vec![piece("a", None), piece("éb", None), piece("", end)], &["x".into(), "yz".into()]);
        let out: Vec<_> = out.into_iter().map(|m| m.unwrap().event.unwrap()).collect();
        let finished = api::Finished { reason: api::FinishReason::Stop.into(), chars: 3, stop: "yz".into() };
        assert_eq!(out, [Event::Chunk(api::Chunk { text: "aéb".into() }), Event::Finished(finished)]);
    }

    #[test]
    fn what_came_before_an_error_is_sent_before_it() {
        let out = messages(vec![piece("a", None), Err(EngineError::DeadlineExceeded)], &[]);
        assert_eq!(out.len(), 2);
        assert!(out[0].is_ok());
        assert_eq!(out[1].as_ref().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }
}
