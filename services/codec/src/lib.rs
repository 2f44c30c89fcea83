//! The codec service: encoding, classifying, denoising, inpainting, segmenting and sampling of images, and
//! anomalies in telemetry.
//!
//! [`Codec`] is `atelier.codec.v1.CodecService` over the models that an [engine](atelier_engine::Engine) has
//! loaded. It turns messages into pictures and codes, asks the engine, and turns what comes back into
//! messages; the `.proto` says what each method does, and what it refuses.
//!
//! * Images are decoded and encoded on blocking threads, at most as many at once as there are cores; how
//!   large one is, its header tells before anything is decoded. Segment, whose images stay in memory while
//!   their tiles are run, waits where 16 million pixels are in progress already.
//! * A request that names no model gets the default of the kind that the method needs: the first model by
//!   name, in its newest version. Encode, Decode, Reconstruct and Interpolate take a
//!   `variational-autoencoder` where there is one, and else an `autoencoder`.
//! * Telemetry is scored a chunk of rows at a time, and a stream of it keeps a window of rows and no more: see
//!   [`atelier_transforms::telemetry`].
//! * Noise comes from the request's seed alone, so the same request gives the same bytes.
//! * Dropping the future of a method drops its work: what waits in the engine leaves the queue.
//!
//! ```no_run
//! use atelier_codec::Codec;
//! use atelier_proto::codec::v1::codec_service_server::CodecServiceServer;
//!
//! # fn serve(engine: atelier_engine::Engine) {
//! let config = atelier_chassis::ServerConfig::default();
//! let codec = CodecServiceServer::new(Codec::new(engine)).max_decoding_message_size(config.max_message_bytes);
//! let server = atelier_chassis::Server::new("codec", config).add_service(codec);
//! # }
//! ```

mod classify;
mod codec;
mod fields;
mod graph;
mod inpaint;
mod segment;
mod service;
mod telemetry;

pub use service::Codec;
