//! TLS: certificates of a server and of a client, read again when their files change.
//!
//! Everything is PEM in files, as Kubernetes mounts its secrets. What is wrong with one is an error that names
//! the field of the configuration and the file.

mod client;
mod pem;
mod reload;
mod server;

pub use client::{ClientTls, Connector};
pub use reload::{Renewal, Source};
pub(crate) use server::Acceptor;
pub use server::TlsConfig;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// What is wrong with the files for TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TlsError {
    /// The field at fault: `certificate`, `key`, `client_ca` or `ca`.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl TlsError {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    fn file(field: &'static str, path: &Path, problem: &str) -> Self {
        Self::new(field, format!("{} {problem}", path.display()))
    }
}

/// Named wherever it is needed: the default of a process can be set once only, and that is not for a library.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
