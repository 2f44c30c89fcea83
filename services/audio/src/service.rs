//! The methods of `AudioService`.

use std::sync::Arc;

use atelier_chassis::{Deadline, ServiceError, models};
use atelier_engine::{Engine, EngineError, Model, seed};
use atelier_package::{Audio, Kind, Speaker};
use atelier_proto::audio::v1 as api;
use atelier_proto::audio::v1::AudioEncoding;
use atelier_proto::audio::v1::audio_service_server::AudioService;
use atelier_proto::audio::v1::synthesize_response::Event;
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status};

use crate::plan::Planner;
use crate::speak::{Piece, SAMPLE, Speaking, condition};
use crate::utterance::Utterance;
use crate::{fields, riff};

/// Kinds that speak.
const KINDS: [Kind; 1] = [Kind::Wavenet];

/// `AudioService` over the models of an engine.
#[derive(Debug, Clone)]
pub struct Speech {
    engine: Engine,
}

impl Speech {
    /// Serves the models that `engine` has loaded.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    fn model(&self, name: &str, version: u32) -> Result<(Arc<Model>, Audio), ServiceError> {
        let model = models::resolve(&self.engine, name, version, &KINDS)?;
        tracing::debug!(model = %model.name(), version = %model.version(), "chose a model");
        let none = || ServiceError::internal(format!("model {} has no [audio]", model.name()));
        let audio = model.manifest().audio.clone().ok_or_else(none)?;
        Ok((model, audio))
    }
}

#[tonic::async_trait]
impl AudioService for Speech {
    type SynthesizeStream = BoxStream<'static, Result<api::SynthesizeResponse, Status>>;

    async fn synthesize(
        &self,
        request: Request<api::SynthesizeRequest>,
    ) -> Result<Response<Self::SynthesizeStream>, Status> {
        let deadline = Deadline::of(&request).map(Deadline::instant);
        let request = request.into_inner();
        let (model, audio) = self.model(&request.model, request.version)?;
        let digits = fields::text(&request.text, &audio)?;
        let speaker = fields::speaker(&request.speaker, &audio)?;
        let temperature = fields::temperature(request.temperature)?;
        let pause = fields::pause(request.pause_ms, &audio)?;
        let encoding = fields::encoding(request.encoding)?;
        let decoder = model.decoder().map_err(ServiceError::from)?;
        let planner = Planner::of(&model)?;
        let variation = fields::variation(request.variation, planner.is_some())?;
        let known = condition(&audio).width() + planner.map_or(0, |planner| planner.bands);
        if decoder.spec().input("condition").is_none_or(|spec| spec.shape.last() != Some(&known.into())) {
            let message = format!("{} takes another condition than {known} numbers", model.name());
            return Err(ServiceError::internal(message).into());
        }

        let seed = seed::resolve(request.seed);
        let utterance = Utterance::new(&audio, &digits, speaker, pause, seed);
        let header = api::Header {
            model: Some(models::model_version(&model)),
            seed,
            speaker: audio.speakers.get(speaker).map(|s| s.name.clone()).unwrap_or_default(),
            encoding: encoding.into(),
            sample_rate: audio.sample_rate,
            samples: utterance.samples() as u64,
            seconds: utterance.samples() as f64 / f64::from(audio.sample_rate),
            digits: spoken(&audio, &utterance),
        };
        let head = match encoding {
            AudioEncoding::Wav => Some(riff::head(audio.sample_rate, utterance.samples())),
            _ => None,
        };
        let plans = match planner {
            Some(planner) => planner.plan(&model, &audio, (&utterance, variation), deadline).await?,
            None => Vec::new(),
        };
        let speaking = Speaking::new(&audio, utterance, plans, temperature);
        let pieces = decoder.stream(speaking, deadline).map_err(ServiceError::from)?;

        let mut sent = Sent { samples: 0, bytes: head.as_ref().map_or(0, |head| head.len() as u64) };
        let first = [Event::Header(header)].into_iter();
        let first = first.chain(head.map(|data| Event::Chunk(api::Chunk { data })));
        let first: Vec<_> = first.map(|event| Ok(message(event))).collect();
        let rest = pieces.flat_map(move |piece| stream::iter(sent.messages(piece)));
        Ok(Response::new(stream::iter(first).chain(rest).boxed()))
    }

    async fn list_speakers(
        &self,
        request: Request<api::ListSpeakersRequest>,
    ) -> Result<Response<api::ListSpeakersResponse>, Status> {
        let request = request.into_inner();
        let (model, audio) = self.model(&request.model, request.version)?;
        let speakers = audio.speakers.iter().map(|speaker| api::Speaker {
            name: speaker.name.clone(),
            seconds_per_digit: usual(speaker) / f64::from(audio.sample_rate),
        });
        Ok(Response::new(api::ListSpeakersResponse {
            model: Some(models::model_version(&model)),
            sample_rate: audio.sample_rate,
            digits: audio.digits.iter().collect(),
            speakers: speakers.collect(),
        }))
    }
}

/// What has gone out.
struct Sent {
    samples: u64,
    bytes: u64,
}

impl Sent {
    /// A piece as messages. After an error or the end there is nothing more.
    fn messages(
        &mut self,
        piece: Result<Piece, EngineError>,
    ) -> Vec<Result<api::SynthesizeResponse, Status>> {
        let Piece { pcm, cut } = match piece {
            Ok(piece) => piece,
            Err(error) => return vec![Err(ServiceError::from(error).into())],
        };
        self.samples += (pcm.len() / SAMPLE) as u64;
        self.bytes += pcm.len() as u64;
        let finished = cut.map(|cut| api::Finished {
            samples: self.samples,
            bytes: self.bytes,
            // At most one for each of 64 digits.
            digits_cut: u32::try_from(cut).unwrap_or(u32::MAX),
        });
        let chunk = (!pcm.is_empty()).then(|| Event::Chunk(api::Chunk { data: pcm }));
        chunk.into_iter().chain(finished.map(Event::Finished)).map(|event| Ok(message(event))).collect()
    }
}

fn message(event: Event) -> api::SynthesizeResponse {
    api::SynthesizeResponse { event: Some(event) }
}

/// The digits with their places in the sound.
fn spoken(audio: &Audio, utterance: &Utterance) -> Vec<api::SpokenDigit> {
    let digit = |place: usize| audio.digits.get(place).map(char::to_string).unwrap_or_default();
    let words = utterance.words.iter().zip(utterance.places());
    words
        .map(|(word, place)| api::SpokenDigit {
            digit: digit(word.said.digit),
            first_sample: place.start as u64,
            // At most ten seconds, says the package.
            samples: u32::try_from(place.len()).unwrap_or(u32::MAX),
        })
        .collect()
}

/// The median, over a speaker's digits, of the median duration in samples.
fn usual(speaker: &Speaker) -> f64 {
    let middle = |durations: &Vec<u32>| durations.get(durations.len() / 2).copied();
    let mut all: Vec<u32> = speaker.durations.iter().filter_map(middle).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().map_or(0.0, f64::from)
}
