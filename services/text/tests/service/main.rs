//! The text service over the real engine, serving the little network of the engine's own tests, whose
//! characters are a line break, a space and `abcde`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not take the helpers of tests for tests"
)]

mod generate;
mod refusals;
mod score;

use std::path::Path;

use atelier_engine::{Config, Engine};
use atelier_package::Package;
use atelier_proto::text::v1::generate_response::Event;
use atelier_proto::text::v1::text_service_server::TextService;
use atelier_proto::text::v1::{Finished, GenerateRequest, Started};
use atelier_text::Text;
use futures_util::StreamExt;
use tonic::{Request, Response, Status};

fn engine(config: Config) -> Engine {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/models/rnn/1");
    let engine = Engine::load(&config, &[Package::open(&directory).unwrap()]).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn text() -> Text {
    Text::new(engine(Config::default()))
}

/// A continuation to its end.
struct Continuation {
    started: Started,
    text: String,
    finished: Finished,
}

async fn generate(text: &Text, request: GenerateRequest) -> Continuation {
    let mut events = text.generate(Request::new(request)).await.unwrap().into_inner();
    let mut next = async || events.next().await.map(|event| event.unwrap().event.unwrap());
    let Some(Event::Started(started)) = next().await else { panic!("the first event is not `started`") };
    let mut text = String::new();
    loop {
        match next().await.expect("the stream ended without `finished`") {
            Event::Chunk(chunk) => {
                assert!(!chunk.text.is_empty());
                text += &chunk.text;
            }
            Event::Finished(finished) => {
                assert_eq!(next().await, None, "there is more after `finished`");
                assert_eq!(finished.chars as usize, text.chars().count());
                return Continuation { started, text, finished };
            }
            Event::Started(_) => panic!("started twice"),
        }
    }
}

fn refused<T>(answer: Result<Response<T>, Status>) -> Status {
    match answer {
        Err(status) => status,
        Ok(_) => panic!("it was not refused"),
    }
}
