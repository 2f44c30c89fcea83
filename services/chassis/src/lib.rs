//! What every Atelier service shares: listener, health, errors, telemetry, configuration, shutdown.
//!
//! A role is a [`Server`] to which the role's gRPC services were added:
//!
//! ```no_run
//! use atelier_chassis::{Server, ServerConfig, shutdown};
//! # use atelier_proto::text::v1::text_service_server::{TextService, TextServiceServer};
//! # async fn run(text: impl TextService) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ServerConfig::default();
//! let server = Server::new("text", config.clone())
//!     .add_service(TextServiceServer::new(text).max_decoding_message_size(config.max_message_bytes))
//!     .descriptor_set(atelier_proto::FILE_DESCRIPTOR_SET);
//! let health = server.health();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:50061").await?;
//! let serving = tokio::spawn(server.serve(listener, shutdown::signal()));
//! // ... load the models; until this line health says NOT_SERVING ...
//! health.set_ready();
//! let drained = serving.await??;
//! # let _ = drained; Ok(())
//! # }
//! ```
//!
//! Around the services lies the same stack everywhere, outermost first: [`trace`] (request id, span,
//! measured time, one log line), [`panics`], [`door`], [`concurrency`], [`drain`], [`deadline`], [`message_limit`], [`malformed`].

pub mod admin;
mod blocking;
pub mod concurrency;
pub mod config;
mod cut;
pub mod deadline;
pub mod door;
pub mod drain;
pub mod error;
pub mod field;
mod guarded;
pub mod health;
mod listener;
pub mod malformed;
pub mod message_limit;
pub mod metrics;
#[cfg(feature = "engine")]
pub mod models;
pub mod panics;
mod reflection;
pub mod request_id;
mod server;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use admin::{Admin, AdminConfig};
pub use blocking::{Blocking, Stage};
pub use deadline::Deadline;
pub use error::ServiceError;
pub use health::Health;
pub use metrics::Metrics;
pub use request_id::RequestId;
pub use server::{ServeError, Server, ServerConfig};
pub use shutdown::{Drained, ShutdownConfig};

use std::convert::Infallible;

/// A gRPC request before its messages are decoded.
pub type Request = http::Request<tonic::body::Body>;
/// A gRPC response before its messages are decoded.
pub type Response = http::Response<tonic::body::Body>;
/// A gRPC service of any kind. It does not fail: errors are responses.
pub type Service = tower::util::BoxCloneSyncService<Request, Response, Infallible>;

/// What the middleware of this crate can wrap: a service that never fails and is always ready.
pub trait Inner:
    tower::Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: tower::Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// The future of the middleware of this crate.
pub type ResponseFuture = futures_util::future::BoxFuture<'static, Result<Response, Infallible>>;
