//! Raw tensors: `inference.GRPCInferenceService`, the Open Inference Protocol with what Triton adds to it.
//!
//! Every role speaks it for the packages that it has loaded, beside the service of its own. A request goes through
//! the engine's batcher as any other does, so raw tensors and images that wait for one graph are one batch.
//!
//! * [`Tensors`] is the service. It answers `ServerLive` before there are models.
//! * [`name`] says how models are called in the protocol, which knows no graphs.
//! * An input is copied once, from the message into the tensor that the engine runs.
//!
//! ```no_run
//! use atelier_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
//! use atelier_tensor::Tensors;
//!
//! # fn serve(engine: atelier_engine::Engine) {
//! let config = atelier_chassis::ServerConfig::default();
//! let tensors = Tensors::new(&[atelier_package::Kind::Gan]);
//! let service = GrpcInferenceServiceServer::new(tensors.clone())
//!     .max_decoding_message_size(config.max_message_bytes)
//!     .max_encoding_message_size(usize::MAX);
//! let server = atelier_chassis::Server::new("image", config).add_service(service);
//! tensors.set(engine);
//! # }
//! ```

mod answer;
mod catalog;
mod contents;
mod datatype;
mod describe;
mod index;
pub mod name;
mod parameters;
mod request;
mod service;
mod stream;

pub use service::Tensors;
