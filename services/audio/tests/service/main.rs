//! The audio service over the real engine, serving little networks that say 0 and 7 in the voices of ann, bob, and one
//! who falls into noise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not take the helpers of tests for tests"
)]

mod listing;
mod planning;
mod refusals;
mod synthesize;

use std::path::Path;

use atelier_audio::Speech;
use atelier_engine::{Config, Engine};
use atelier_package::Package;
use atelier_proto::audio::v1::audio_service_server::AudioService;
use atelier_proto::audio::v1::synthesize_response::Event;
use atelier_proto::audio::v1::{Finished, Header, SynthesizeRequest};
use futures_util::StreamExt;
use tonic::{Request, Response, Status};

fn engine(config: Config) -> Engine {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/tiny-voice/1");
    let engine = Engine::load(&config, &[Package::open(&directory).unwrap()]).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn speech() -> Speech {
    Speech::new(engine(Config::default()))
}

/// Speech to its end.
struct Spoken {
    header: Header,
    chunks: Vec<Vec<u8>>,
    finished: Finished,
}

impl Spoken {
    fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

async fn speak(speech: &Speech, request: SynthesizeRequest) -> Spoken {
    let mut events = speech.synthesize(Request::new(request)).await.unwrap().into_inner();
    let mut next = async || events.next().await.map(|event| event.unwrap().event.unwrap());
    let Some(Event::Header(header)) = next().await else { panic!("the first event is not `header`") };
    let mut chunks = Vec::new();
    loop {
        match next().await.expect("the stream ended without `finished`") {
            Event::Chunk(chunk) => {
                assert!(!chunk.data.is_empty());
                chunks.push(chunk.data.to_vec());
            }
            Event::Finished(finished) => {
                assert_eq!(next().await, None, "there is more after `finished`");
                let spoken = Spoken { header, chunks, finished };
                assert_eq!(spoken.finished.bytes as usize, spoken.bytes().len());
                assert_eq!(spoken.finished.samples, spoken.header.samples, "the header told how much comes");
                return spoken;
            }
            Event::Header(_) => panic!("began twice"),
        }
    }
}

fn refused<T>(answer: Result<Response<T>, Status>) -> Status {
    match answer {
        Err(status) => status,
        Ok(_) => panic!("it was not refused"),
    }
}
