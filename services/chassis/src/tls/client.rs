//! The certificates of a client.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::TlsError;
use super::pem::{self, Pem};

/// Whom a client believes, and what it shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl ClientTls {
    /// Whether anything is set.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Reads the files. For addresses that begin with `https://`; on others it does nothing.
    ///
    /// # Errors
    /// The first field whose file cannot be used.
    pub fn load(&self) -> Result<ClientTlsConfig, TlsError> {
        let mut tls = match &self.ca {
            None => ClientTlsConfig::new().with_native_roots(),
            Some(path) => {
                let ca = Pem::read("ca", path)?;
                ca.authorities()?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.bytes()))
            }
        };
        if let Some((certificate, key)) = pem::both(self.certificate.as_deref(), self.key.as_deref())? {
            let (certificate, key) = (Pem::read("certificate", certificate)?, Pem::read("key", key)?);
            pem::pair(&certificate, &key)?;
            tls = tls.identity(Identity::from_pem(certificate.bytes(), key.bytes()));
        }
        if let Some(domain) = &self.domain {
            tls = tls.domain_name(domain);
        }
        Ok(tls)
    }
}
