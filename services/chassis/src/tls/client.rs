//! The certificates of a client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::pem::{self, Pem};
use super::reload::{Renewal, Source};
use super::{TlsError, provider};

/// Whom a client believes, and what it shows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTls {
    /// A PEM file with the authorities of servers. Default: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate to show, then those between it and its authority. Default: none.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate. Default: none.
    pub key: Option<PathBuf>,
    /// The name that the certificate of the server must have. Default: the host of the address.
    pub domain: Option<String>,
    /// How often the files are looked at for changes. New connections take what is new, those that there are
    /// go on. 0 s: never. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self { ca: None, certificate: None, key: None, domain: None, reload: Duration::from_secs(5) }
    }
}

impl ClientTls {
    /// Whether anything is set.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Reads the files, once. For addresses that begin with `https://`; on others it does nothing.
    ///
    /// # Errors
    /// The first field whose file cannot be used.
    pub fn load(&self) -> Result<ClientTlsConfig, TlsError> {
        let files = Files::read(self)?;
        let mut tls = match &files.ca {
            None => ClientTlsConfig::new().with_native_roots(),
            Some(ca) => {
                ca.authorities()?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.bytes()))
            }
        };
        if let Some((certificate, key)) = &files.shown {
            pem::pair(certificate, key)?;
            tls = tls.identity(Identity::from_pem(certificate.bytes(), key.bytes()));
        }
        if let Some(domain) = &self.domain {
            tls = tls.domain_name(domain);
        }
        Ok(tls)
    }

    /// Reads the files, and again whenever they change, for as long as the renewal is run.
    ///
    /// # Errors
    /// The first field whose file cannot be used.
    pub fn renewal(&self) -> Result<Renewal<Self>, TlsError> {
        Renewal::new(self.clone(), Files::read(self)?)
    }
}

impl Renewal<ClientTls> {
    /// For connections to a server whose certificate must be of this host, unless the configuration says of which.
    ///
    /// # Errors
    /// A host that no certificate can be of.
    pub fn connector(&self, host: &str) -> Result<Connector, TlsError> {
        let name = self.source().domain.as_deref().unwrap_or(host);
        let wrong = |_| TlsError::new("domain", format!("{name:?} is neither a DNS name nor an IP address"));
        let name = ServerName::try_from(name.to_owned()).map_err(wrong)?;
        Ok(Connector { current: self.current(), name })
    }
}

/// Opens TLS on connections to a server, with what is newest. Clones share it.
#[derive(Debug, Clone)]
pub struct Connector {
    current: watch::Receiver<Arc<ClientConfig>>,
    name: ServerName<'static>,
}

impl Connector {
    /// The handshake. How long it may take is the caller's to say.
    ///
    /// # Errors
    /// The server is not believed, does not believe, or does not speak HTTP/2.
    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.borrow());
        let stream = TlsConnector::from(config).connect(self.name.clone(), stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(std::io::Error::other("the server does not speak HTTP/2 over TLS")),
        }
    }
}

/// The files of a [`ClientTls`] as they were when they were read.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    ca: Option<Pem>,
    shown: Option<(Pem, Pem)>,
}

impl Files {
    fn read(config: &ClientTls) -> Result<Self, TlsError> {
        let ca = config.ca.as_deref().map(|path| Pem::read("ca", path)).transpose()?;
        let shown = match pem::both(config.certificate.as_deref(), config.key.as_deref())? {
            Some((certificate, key)) => {
                Some((Pem::read("certificate", certificate)?, Pem::read("key", key)?))
            }
            None => None,
        };
        Ok(Self { ca, shown })
    }
}

impl Source for ClientTls {
    type Files = Files;
    type Made = ClientConfig;
    const SECTION: &'static str = "upstream_tls";

    fn period(&self) -> Duration {
        self.reload
    }

    fn read(&self) -> Result<Option<Files>, TlsError> {
        Files::read(self).map(Some)
    }

    fn make(files: &Files) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &files.ca {
            Some(ca) => ca.authorities()?,
            None => system()?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("certificate", error.to_string()))?
            .with_root_certificates(roots);
        let mut client = match &files.shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let pair = pem::pair(certificate, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(client))
    }
}

/// The authorities that the system trusts, those of them that can be used.
fn system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(found.certs).0 == 0 {
        return Err(TlsError::new(
            "ca",
            "is not set, and the system has no authorities to trust; right is a PEM file",
        ));
    }
    Ok(roots)
}
