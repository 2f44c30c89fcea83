//! The server of one role.

mod dispatch;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Layer;

use crate::concurrency::ConcurrencyLayer;
use crate::deadline::DeadlineLayer;
use crate::door::{Door, DoorLayer};
use crate::drain::Drain;
use crate::health::Health;
use crate::malformed::MalformedLayer;
use crate::message_limit::MessageLimitLayer;
use crate::metrics::{Meters, Metrics};
use crate::panics::CatchPanicsLayer;
use crate::shutdown::{Drained, ShutdownConfig};
use crate::tls::{TlsConfig, TlsError};
use crate::trace::TraceLayer;
use crate::{Inner, Request, Response, Service, ServiceError};
use dispatch::Dispatch;

/// What a connection may carry beyond the requests that are counted: watches of health, and what is refused.
const SPARE_STREAMS: u32 = 64;

/// The limits of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The most bytes of one message. Larger ones are INVALID_ARGUMENT. Default 16 MiB.
    pub max_message_bytes: usize,
    /// The most requests at once, streams included. More are RESOURCE_EXHAUSTED. Default 1024.
    pub max_concurrent_requests: usize,
    /// The most connections at once. More wait to be accepted. Default 4096.
    pub max_connections: usize,
    /// The most requests at once on one connection. More wait at the client, without being told. 0, the default:
    /// 64 more than `max_concurrent_requests`, so that who is over that limit is told so, and health is answered.
    pub max_streams_per_connection: u32,
    /// The most bytes of the headers of a request. Default 16 KiB.
    pub max_header_bytes: u32,
    /// The age, give or take a tenth, at which a connection gets GOAWAY: its calls go on, new ones go to a new
    /// connection. 0 s: none, which is the default: some clients count a call as failed that they were about to
    /// send on a connection that ends.
    #[serde(with = "humantime_serde")]
    pub max_connection_age: Duration,
    /// How long calls may go on after that, before the connection is dropped with them. 0 s: as long as they
    /// take. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub max_connection_age_grace: Duration,
    /// Whether it speaks TLS. Default: it does not.
    pub tls: TlsConfig,
    /// How it stops.
    pub shutdown: ShutdownConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 16 << 20,
            max_concurrent_requests: 1024,
            max_connections: 4096,
            max_streams_per_connection: 0,
            max_header_bytes: 16 << 10,
            max_connection_age: Duration::ZERO,
            max_connection_age_grace: Duration::from_secs(5 * 60),
            tls: TlsConfig::default(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Whether a server could start with this, its certificates included, which are read.
    ///
    /// # Errors
    /// The first field that is wrong, by its path.
    pub fn check(&self) -> Result<(), ServeError> {
        self.limits()?;
        self.tls.load()?;
        Ok(())
    }

    /// What each connection is told of how many requests it may carry at once.
    pub(crate) fn streams_per_connection(&self) -> u32 {
        let all = u32::try_from(self.max_concurrent_requests).unwrap_or(u32::MAX);
        match self.max_streams_per_connection {
            0 => all.saturating_add(SPARE_STREAMS),
            set => set,
        }
    }

    fn limits(&self) -> Result<(), ServeError> {
        let zero = [
            ("max_message_bytes", self.max_message_bytes == 0),
            ("max_concurrent_requests", self.max_concurrent_requests == 0),
            ("max_connections", self.max_connections == 0),
            ("max_header_bytes", self.max_header_bytes == 0),
        ];
        match zero.into_iter().find(|(_, zero)| *zero) {
            Some((field, _)) => Err(ServeError::Zero { field }),
            None => Ok(()),
        }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A limit of 0, which would let nothing through.
    #[error("server.{field}: is 0, must be 1 or more")]
    Zero {
        /// The field of [`ServerConfig`].
        field: &'static str,
    },
    /// The certificate, its key or the authority of the clients cannot be used.
    #[error("server.tls.{0}")]
    Tls(#[from] TlsError),
    /// A descriptor set is damaged, or lacks what it imports.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A role's gRPC services, with health, reflection and the stack around them.
pub struct Server {
    role: String,
    config: ServerConfig,
    routes: Routes,
    /// What `routes` answers for.
    own: BTreeSet<&'static str>,
    /// What health and reflection know.
    services: Vec<String>,
    descriptor_sets: Vec<&'static [u8]>,
    fallback: Option<Service>,
    door: Option<Arc<dyn Door>>,
    health: Health,
    metrics: Metrics,
}

impl Server {
    /// A server of no services yet. The role is what its spans and log lines say.
    pub fn new(role: impl Into<String>, config: ServerConfig) -> Self {
        Self {
            role: role.into(),
            config,
            routes: Routes::default(),
            own: BTreeSet::new(),
            services: Vec::new(),
            descriptor_sets: Vec::new(),
            fallback: None,
            door: None,
            health: Health::new([crate::health::OVERALL]),
            metrics: Metrics::default(),
        }
    }

    /// Shows what it does among these metrics, under its role.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// Adds a generated service. It is NOT_SERVING until [`Health`] is told otherwise.
    ///
    /// Generated services have a message limit of their own, 4 MiB: raise it with
    /// `max_decoding_message_size(config.max_message_bytes)`.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<Request, Response = Response, Error = Infallible, Future: Send>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.routes = self.routes.add_service(service);
        self.own.insert(S::NAME);
        self.add_name(S::NAME)
    }

    /// Adds a service that [`fallback`](Self::fallback) answers for, to health and reflection.
    #[must_use]
    pub fn add_name(mut self, service: impl Into<String>) -> Self {
        let service = service.into();
        self.health.set(service.as_str(), false);
        self.services.push(service);
        self
    }

    /// Adds what reflection resolves: an encoded `FileDescriptorSet` with its imports.
    #[must_use]
    pub fn descriptor_set(mut self, encoded: &'static [u8]) -> Self {
        self.descriptor_sets.push(encoded);
        self
    }

    /// Answers what no added service does. Without one that is UNIMPLEMENTED.
    #[must_use]
    pub fn fallback<S: Inner + Sync>(mut self, service: S) -> Self {
        self.fallback = Some(Service::new(service));
        self
    }

    /// Asks this of every request but those for health. Without one everybody is let in.
    #[must_use]
    pub fn door(mut self, door: impl Door) -> Self {
        self.door = Some(Arc::new(door));
        self
    }

    /// The health of this server, to be told what is ready.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves on a bound socket until `shutdown` resolves, and then until it has drained.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained, ServeError> {
        self.config.limits()?;
        let tls = self.config.tls.load()?;
        let drain = Drain::new();
        let (config, health, role) = (self.config.clone(), self.health.clone(), self.role.clone());
        crate::metrics::watch(&self.metrics, &role, health.clone(), drain.clone(), &config.shutdown);
        let service = self.into_service(&drain)?;
        let address = listener.local_addr().map_or_else(|_| "unknown".to_owned(), |a| a.to_string());
        tracing::info!(role, address, tls = tls.is_some(), "listening");
        Ok(crate::listener::run(listener, service, &config, tls, &health, &drain, shutdown).await)
    }

    /// Everything behind the listener, in the order of the crate's documentation.
    fn into_service(self, drain: &Drain) -> Result<Service, ServeError> {
        let routes = crate::reflection::add(self.routes, &self.descriptor_sets, &self.services)?
            .add_service(self.health.server())
            .prepare();
        let mut own = self.own;
        own.extend([crate::health::SERVICE, crate::reflection::V1, crate::reflection::V1ALPHA]);
        let meters = {
            let services = own.iter().copied().map(str::to_owned).chain(self.services.iter().cloned());
            let methods = crate::metrics::methods(&self.descriptor_sets, &services.collect());
            Arc::new(Meters::new(&self.role, methods))
        };
        let shown = Arc::clone(&meters);
        self.metrics.add(move |exposition| shown.collect(exposition));
        let fallback = self.fallback.unwrap_or_else(|| no_such_method(&self.role, &self.services));

        let service = Dispatch { own: Arc::new(own), routes, fallback };
        let service = MalformedLayer.layer(service);
        let service = MessageLimitLayer::new(self.config.max_message_bytes).layer(service);
        let service = DeadlineLayer.layer(service);
        let service = drain.layer(service);
        let service = ConcurrencyLayer::new(self.config.max_concurrent_requests).layer(service);
        let service = DoorLayer(self.door).layer(service);
        let service = CatchPanicsLayer.layer(service);
        Ok(Service::new(TraceLayer::new(&self.role).meters(meters).layer(service)))
    }
}

fn no_such_method(role: &str, services: &[String]) -> Service {
    let message = format!("the {role} role has no such method; its services: {}", services.join(", "));
    Service::new(tower::service_fn(move |_: Request| {
        let error = ServiceError::unimplemented(message.clone());
        async move { Ok(error.into_response()) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_carries_as_many_requests_as_the_process_takes_unless_it_is_told_otherwise() {
        let streams = |max_concurrent_requests, max_streams_per_connection| {
            let limits = ServerConfig {
                max_concurrent_requests,
                max_streams_per_connection,
                ..ServerConfig::default()
            };
            limits.streams_per_connection()
        };
        assert_eq!([streams(1024, 0), streams(7, 0), streams(7, 3)], [1088, 71, 3]);
        assert_eq!(streams(usize::MAX, 0), u32::MAX);
    }

    #[tokio::test]
    async fn a_limit_of_zero_is_refused_and_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = ServerConfig { max_connections: 0, ..ServerConfig::default() };
        let error = Server::new("test", config).serve(listener, std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "server.max_connections: is 0, must be 1 or more");
    }

    #[tokio::test]
    async fn a_damaged_descriptor_set_is_an_error_and_no_panic() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::new("test", ServerConfig::default()).descriptor_set(b"not a descriptor set");
        let error = server.serve(listener, std::future::pending()).await.unwrap_err();
        assert!(matches!(error, ServeError::Reflection(_)), "{error:?}");
    }
}
