//! Certificates for tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use atelier_chassis::tls::{ClientTls, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, with a directory to lay certificates in.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lays `NAME.crt` and `NAME.key` for a host.
    pub fn issue(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // The key first: a pair that does not match is looked at again at the next change.
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), certificate.pem()).unwrap();
    }

    pub fn server(&self, name: &str, client_ca: Option<&Path>) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.path(&format!("{name}.crt"))),
            key: Some(self.path(&format!("{name}.key"))),
            client_ca: client_ca.map(Path::to_owned),
            reload: Duration::from_millis(20),
        }
    }

    pub fn client(&self) -> ClientTls {
        ClientTls { ca: Some(self.path("ca.crt")), ..ClientTls::default() }
    }

    pub fn client_named(&self, name: &str, of: &Self) -> ClientTls {
        let file = |ending: &str| Some(of.path(&format!("{name}.{ending}")));
        ClientTls { certificate: file("crt"), key: file("key"), ..self.client() }
    }
}
