//! The gateway: the one door of the fleet.
//!
//! It forwards any gRPC method to the role that owns it, by the service's name in the path and without
//! decoding messages, so that a new method or a new field of a role costs nothing here. Requests on raw tensors,
//! which every role speaks, go to the role that has the model. What it answers itself: `ModelService` for the whole fleet, health per service (following the roles), reflection for
//! everything.
//!
//! ```no_run
//! use atelier_gateway::{Gateway, GatewayConfig, Route};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::new(GatewayConfig {
//!     routes: vec![Route {
//!         role: "text".into(),
//!         services: vec!["atelier.text.v1.TextService".into()],
//!         uri: "http://127.0.0.1:50061".into(),
//!     }],
//!     ..GatewayConfig::default()
//! })?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:50051").await?;
//! gateway.serve(listener, atelier_chassis::shutdown::signal()).await?;
//! # Ok(())
//! # }
//! ```

mod access;
mod backend;
mod config;
mod follow;
mod forward;
mod inference;
mod models;
mod tally;
mod upstream;

use std::sync::Arc;

use atelier_chassis::{Drained, Health, Metrics, ServeError, Server};
use atelier_proto::models::v1::model_service_server::{ModelServiceServer, SERVICE_NAME as MODEL_SERVICE};
use tokio::net::TcpListener;

use access::{Access, Following};
pub use access::{AccessConfig, AccessError};
use backend::Backend;
pub use config::{GatewayConfig, GatewayError, Route};
use forward::Forward;
use inference::{Catalog, Inference, SERVICE_NAME as INFERENCE_SERVICE};
use models::FleetModels;

/// The gateway, not yet listening.
pub struct Gateway {
    server: Server,
    backends: Vec<Arc<Backend>>,
    catalog: Arc<Catalog>,
    access: Option<Access>,
    keys: Option<Following>,
}

impl Gateway {
    /// Checks the routes, and reads the files of keys and certificates. Connections are made when they are needed: a role may be started later.
    pub fn new(config: GatewayConfig) -> Result<Self, GatewayError> {
        let backends = backend::all(&config)?;
        let of_roles = backends.iter().flat_map(|backend| backend.services.iter().cloned());
        let services = of_roles.chain(backend::OWN.map(str::to_owned)).collect();
        let (access, keys) = Access::load(&config.access, services)?.unzip();
        let models = FleetModels::new(backends.clone());
        let models =
            ModelServiceServer::new(models).max_decoding_message_size(config.server.max_message_bytes);
        let catalog = Arc::new(Catalog::new(backends.clone()));
        let max_message_bytes = config.server.max_message_bytes;
        let server = Server::new("gateway", config.server)
            .add_service(models)
            .descriptor_set(atelier_proto::FILE_DESCRIPTOR_SET)
            .add_name(INFERENCE_SERVICE);
        let inference = Inference::new(Arc::clone(&catalog), server.health(), max_message_bytes);
        let server = server.fallback(Forward::new(&backends, inference));
        let services = backends.iter().flat_map(|backend| backend.services.iter());
        let server = services.fold(server, |server, service| server.add_name(service.as_str()));
        // No services, which reflection would list, but names that health knows.
        backends.iter().for_each(|backend| server.health().set(backend.tensors(), false));
        let server = match &access {
            Some(access) => server.door(access.clone()),
            None => server,
        };
        Ok(Self { server, backends, catalog, access, keys })
    }

    /// Shows what it does among these metrics.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        tally::watch(metrics, &self.backends, self.server.health());
        self.access.iter().for_each(|access| access.watch(metrics));
        self.server = self.server.metrics(metrics);
        self
    }

    /// Adds what reflection resolves beyond the fleet's own API: an encoded `FileDescriptorSet`.
    #[must_use]
    pub fn descriptor_set(mut self, encoded: &'static [u8]) -> Self {
        self.server = self.server.descriptor_set(encoded);
        self
    }

    /// The health of the gateway, which follows the roles: each forwarded service as its role says, the raw tensors of
    /// each role under `inference/ROLE`, the gateway as a whole, `ModelService` and `GRPCInferenceService` where any is
    /// being served.
    pub fn health(&self) -> Health {
        self.server.health()
    }

    /// Serves on a bound socket until `shutdown` resolves, and then until it has drained.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained, ServeError> {
        // Dropped, and so ended, with this future.
        let _following = follow::start(self.server.health(), &self.backends, &self.catalog, MODEL_SERVICE);
        let keys = async {
            match self.keys {
                Some(keys) => keys.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = self.server.serve(listener, shutdown) => ended,
            never = keys => match never {},
        }
    }
}
