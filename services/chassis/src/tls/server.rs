//! The certificates of a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pem::{self, Pem};
use super::reload::{Renewal, Source};
use super::{TlsError, provider};

/// What a server shows of itself, and whom it lets in. With no certificate it speaks plaintext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// A PEM file with its certificate, then those between it and its authority. Default: none, plaintext.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate. Default: none.
    pub key: Option<PathBuf>,
    /// A PEM file with the authorities of clients. Whoever shows no certificate of theirs is refused. Default:
    /// none, clients need no certificate.
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at for changes. New connections take what is new, those that there are
    /// go on. 0 s: never. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificate: None, key: None, client_ca: None, reload: Duration::from_secs(5) }
    }
}

impl TlsConfig {
    /// Whether the server speaks TLS, and nothing else.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// Reads the files; `None` for plaintext.
    pub(crate) fn load(&self) -> Result<Option<Renewal<Self>>, TlsError> {
        Files::read(self)?.map(|files| Renewal::new(self.clone(), files)).transpose()
    }
}

/// Opens TLS on connections, with what is newest. Clones share it.
#[derive(Clone)]
pub(crate) struct Acceptor {
    current: watch::Receiver<Arc<ServerConfig>>,
}

impl Acceptor {
    /// With certificates whose files are looked after until the guard is dropped.
    pub(crate) fn follow(renewal: Renewal<TlsConfig>) -> (Self, DropGuard) {
        let current = renewal.current();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(renewal.run()));
        (Self { current }, stop.drop_guard())
    }

    /// The handshake. How long it may take is the caller's to say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.borrow());
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// The files of a [`TlsConfig`] as they were when they were read.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    certificate: Pem,
    key: Pem,
    client_ca: Option<Pem>,
}

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some((certificate, key)) = pem::both(config.certificate.as_deref(), config.key.as_deref())?
        else {
            return match config.client_ca {
                // Who asks for certificates must not get a server that asks for none.
                Some(_) => Err(TlsError::new("certificate", "is not set, but client_ca is; right is both")),
                None => Ok(None),
            };
        };
        Ok(Some(Self {
            certificate: Pem::read("certificate", certificate)?,
            key: Pem::read("key", key)?,
            client_ca: config.client_ca.as_deref().map(|path| Pem::read("client_ca", path)).transpose()?,
        }))
    }
}

impl Source for TlsConfig {
    type Files = Files;
    type Made = ServerConfig;
    const SECTION: &'static str = "server.tls";

    fn period(&self) -> Duration {
        self.reload
    }

    fn read(&self) -> Result<Option<Files>, TlsError> {
        Files::read(self)
    }

    fn make(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
        let pair = pem::pair(&files.certificate, &files.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("certificate", error.to_string()))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(pem.authorities()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| TlsError::new("client_ca", error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(server))
    }
}
