//! What PEM files hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};

/// A file as it was when it was read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    field: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pem {
    /// Reads the file that a field names.
    pub(super) fn read(field: &'static str, path: &Path) -> Result<Self, TlsError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self { field, path: path.to_owned(), bytes }),
            Err(error) => Err(TlsError::file(field, path, &format!("cannot be read: {error}"))),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The certificates in it: one at least, and each of them sound.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| self.wrong(&format!("is damaged: {error}")))?;
        if certificates.is_empty() {
            return Err(self.wrong("holds no certificate in PEM"));
        }
        for certificate in &certificates {
            ParsedCertificate::try_from(certificate)
                .map_err(|error| self.wrong(&format!("holds a damaged certificate: {error}")))?;
        }
        Ok(certificates)
    }

    /// The certificates in it, as authorities to believe.
    pub(super) fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.wrong(&format!("holds a certificate of no authority: {error}")))?;
        }
        Ok(roots)
    }

    fn wrong(&self, problem: &str) -> TlsError {
        TlsError::file(self.field, &self.path, problem)
    }
}

/// A certificate, with those between it and its authority, and its key, which belong to one another.
pub(super) fn pair(certificate: &Pem, key: &Pem) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificate.certificates()?;
    let secret = PrivateKeyDer::from_pem_slice(&key.bytes)
        .map_err(|_| key.wrong("holds no private key in PEM, without a password"))?;
    let signer = provider().key_provider.load_private_key(secret).map_err(|_| {
        key.wrong("holds no key that can be used; right is ECDSA P-256, P-384, Ed25519 or RSA")
    })?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(pair))
        }
        Err(_) => Err(key.wrong("does not belong to the certificate")),
    }
}

/// The paths of a certificate and its key, of which there must be both or neither.
pub(super) fn both<'a>(
    certificate: Option<&'a Path>,
    key: Option<&'a Path>,
) -> Result<Option<(&'a Path, &'a Path)>, TlsError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(TlsError::new("key", "is not set, but the certificate is; right is both")),
        (None, Some(_)) => Err(TlsError::new("certificate", "is not set, but the key is; right is both")),
    }
}
