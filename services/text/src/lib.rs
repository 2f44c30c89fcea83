//! The text service: character-level generation and scoring.
//!
//! [`Text`] is `atelier.text.v1.TextService` over the models that an [engine](atelier_engine::Engine) has
//! loaded. Both methods are streams through the model's step graph, one character a step, and share its
//! batches with everyone else's; the `.proto` says what each does, and what it refuses.
//!
//! * A continuation begins with the state at 0 and reads the prompt, a character a step; without a prompt it
//!   reads a line break, so that it begins as after one.
//! * What is drawn depends on the prompt, the parameters and the seed alone, whatever else is being served.
//! * A stop string is never sent, not in part either: what may still become one is held back.
//! * The first character that a model reads cannot be scored. With a `context` that is no character of the
//!   text; without one the score begins at the second character of the text.
//! * A request that names no model gets the default: the first `char-rnn` by name, in its newest version.
//! * Dropping the stream of a method frees its slot in the decoder.
//!
//! ```no_run
//! use atelier_proto::text::v1::text_service_server::TextServiceServer;
//! use atelier_text::Text;
//!
//! # fn serve(engine: atelier_engine::Engine) {
//! let config = atelier_chassis::ServerConfig::default();
//! let text = TextServiceServer::new(Text::new(engine)).max_decoding_message_size(config.max_message_bytes);
//! let server = atelier_chassis::Server::new("text", config).add_service(text);
//! # }
//! ```

mod fields;
mod generate;
mod score;
mod service;
mod stop;
mod vocabulary;

pub use service::Text;
