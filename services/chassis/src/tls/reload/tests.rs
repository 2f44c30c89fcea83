use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::super::TlsConfig;

struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let case = Self { directory: tempfile::tempdir().unwrap() };
        case.renew();
        case
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn renew(&self) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
        self.write("tls.crt", &cert.pem());
        self.write("tls.key", &signing_key.serialize_pem());
    }

    fn config(&self) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.path("tls.crt")),
            key: Some(self.path("tls.key")),
            ..TlsConfig::default()
        }
    }

    fn refused(&self, config: &TlsConfig) -> String {
        let error = config.load().map(|_| ()).unwrap_err().to_string();
        let directory: &Path = self.directory.path();
        error.replace(&format!("{}/", directory.display()), "")
    }
}

#[test]
fn no_certificate_is_plaintext() {
    assert!(TlsConfig::default().load().unwrap().is_none());
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_field() {
    let case = Case::new();
    let good = case.config();
    let refused = |config: TlsConfig| case.refused(&config);

    assert!(case.refused(&TlsConfig { key: None, ..good.clone() }).starts_with("key: is not set"));
    assert!(refused(TlsConfig { certificate: None, ..good.clone() }).starts_with("certificate: is not set"));
    let open = TlsConfig { certificate: None, key: None, client_ca: Some("ca.crt".into()), ..good.clone() };
    assert!(refused(open).starts_with("certificate: is not set"), "asking for certificates needs TLS");

    let missing = TlsConfig { client_ca: Some(case.path("ca.crt")), ..good.clone() };
    assert!(refused(missing.clone()).starts_with("client_ca: ca.crt cannot be read: "));
    case.write("ca.crt", "");
    assert_eq!(refused(missing), "client_ca: ca.crt holds no certificate in PEM");

    let swapped = TlsConfig { certificate: good.key.clone(), key: good.certificate.clone(), ..good.clone() };
    assert_eq!(refused(swapped), "certificate: tls.key holds no certificate in PEM");
    let twice = TlsConfig { key: good.certificate.clone(), ..good.clone() };
    assert_eq!(refused(twice), "key: tls.crt holds no private key in PEM, without a password");

    case.write("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(refused(good.clone()).starts_with("certificate: tls.crt holds a damaged certificate: "));
    case.renew();
    let key = std::fs::read_to_string(case.path("tls.key")).unwrap();
    case.renew();
    case.write("tls.key", &key);
    assert_eq!(refused(good), "key: tls.key does not belong to the certificate");
}

#[test]
fn each_change_is_told_once_and_a_bad_one_leads_to_no_certificate() {
    let case = Case::new();
    let mut loaded = case.config().load().unwrap().unwrap();
    assert!(loaded.look().is_none(), "nothing has changed");

    case.renew();
    assert!(loaded.look().unwrap().is_ok());
    assert!(loaded.look().is_none());

    case.write("tls.crt", "damaged");
    assert_eq!(loaded.look().unwrap().unwrap_err().field, "certificate");
    assert!(loaded.look().is_none(), "it is told once");
    std::fs::remove_file(case.path("tls.key")).unwrap();
    assert_eq!(loaded.look().unwrap().unwrap_err().field, "key");
    assert!(loaded.look().is_none());

    case.renew();
    assert!(loaded.look().unwrap().is_ok());
}
