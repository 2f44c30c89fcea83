//! Where the gateway forwards to.

use std::time::Duration;

use atelier_chassis::ServerConfig;
use atelier_chassis::tls::{ClientTls, TlsError};
use serde::{Deserialize, Serialize};

use crate::access::{AccessConfig, AccessError};

/// One role and what it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The role's name, as errors and log lines say it: "text".
    pub role: String,
    /// The full names of its services: "atelier.text.v1.TextService".
    pub services: Vec<String>,
    /// Where it listens: "http://127.0.0.1:50061", or "https://…" where it speaks TLS; several separated by commas.
    /// A host's name stands for every address that it resolves to, each of which is taken for one of the role's
    /// processes.
    pub uri: String,
}

/// The configuration of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The roles. Each service belongs to one role alone.
    pub routes: Vec<Route>,
    /// How long connecting to a role may take, in milliseconds. Default 2000.
    pub connect_timeout_ms: u64,
    /// How often the names of the routes are looked up again. Default "5s". Sooner where a role cannot be reached.
    #[serde(with = "humantime_serde")]
    pub resolve_interval: Duration,
    /// What the gateway shows of itself to roles that speak TLS, and whom it believes.
    pub upstream_tls: ClientTls,
    /// Who may call.
    pub access: AccessConfig,
    /// The limits of the gateway's own server.
    pub server: ServerConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            connect_timeout_ms: 2000,
            resolve_interval: Duration::from_secs(5),
            upstream_tls: ClientTls::default(),
            access: AccessConfig::default(),
            server: ServerConfig::default(),
        }
    }
}

impl GatewayConfig {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// What is wrong with the configuration of a gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// An address that is none.
    #[error(
        "routes: the uri {uri:?} of role {role:?} is no address, must be like \"http://127.0.0.1:50061\""
    )]
    Uri {
        /// The role.
        role: String,
        /// Its address.
        uri: String,
        /// What is wrong with it; `None` where it lacks a scheme or a host.
        source: Option<http::uri::InvalidUri>,
    },
    /// Files for TLS to the roles that cannot be used.
    #[error("upstream_tls.{0}")]
    Tls(#[from] TlsError),
    /// Keys that cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A service that two roles claim, or that the gateway answers itself.
    #[error("routes: the service {service:?} of role {role:?} belongs to {owner} already")]
    Taken {
        /// The service.
        service: String,
        /// The role that claims it too.
        role: String,
        /// Who has it.
        owner: String,
    },
}
