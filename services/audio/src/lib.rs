//! The audio service: digits spoken, sample by sample.
//!
//! [`Speech`] is `atelier.audio.v1.AudioService` over the models that an [engine](atelier_engine::Engine) has
//! loaded. Speaking is a stream through the model's step graph, one sample a step, and shares its batches with
//! everyone else's; the `.proto` says what each method does, and what it refuses.
//!
//! * How samples, voices and words are written for a model is in `atelier_transforms::speech`, which the
//!   trainer's evaluation uses too: what was measured is what is served.
//! * A model may have a graph that plans: then each digit is planned, all at once, before the first is said.
//! * A text is one stream, of which each digit begins with nothing remembered, as the recordings did that the
//!   model was trained on. So a request has one slot, however long its text is.
//! * What is drawn depends on the request and the seed alone, whatever else is being served. Each digit has a
//!   stream of random numbers of its own.
//! * Dropping the stream of a method frees its slot in the decoder.
//!
//! ```no_run
//! use atelier_audio::Speech;
//! use atelier_proto::audio::v1::audio_service_server::AudioServiceServer;
//!
//! # fn serve(engine: atelier_engine::Engine) {
//! let config = atelier_chassis::ServerConfig::default();
//! let audio = AudioServiceServer::new(Speech::new(engine)).max_decoding_message_size(config.max_message_bytes);
//! let server = atelier_chassis::Server::new("audio", config).add_service(audio);
//! # }
//! ```

mod fields;
mod plan;
mod riff;
mod service;
mod speak;
mod utterance;

pub use service::Speech;
