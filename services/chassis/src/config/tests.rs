use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::telemetry::{LogFormat, TelemetryConfig};
use crate::{ServerConfig, ShutdownConfig};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    name: String,
    token: Secret,
    threads: Option<u32>,
    server: ServerConfig,
    telemetry: TelemetryConfig,
}

fn variable(name: &str, value: &str) -> [(String, String); 1] {
    [(name.to_owned(), value.to_owned())]
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = file("[server]\nmax_connections = 1\nmax_header_bytes = 1\nmax_message_bytes = 1\n");
    let mut layers = Layers::<Config>::new();
    layers.file(file.path()).unwrap();
    layers.environment(variable("ATELIER_SERVER__MAX_HEADER_BYTES", "2")).unwrap();
    layers.environment(variable("ATELIER_SERVER__MAX_MESSAGE_BYTES", "2")).unwrap();
    layers.flag("server.max_message_bytes", 3).unwrap();
    let server = layers.build().unwrap().server;
    assert_eq!((server.max_connections, server.max_header_bytes, server.max_message_bytes), (1, 2, 3));
    assert_eq!(server.shutdown, ShutdownConfig::default());
}

#[test]
fn variables_are_read_as_the_type_of_their_field() {
    let mut layers = Layers::<Config>::new();
    for (name, value) in [
        ("ATELIER_NAME", "42"),
        ("ATELIER_THREADS", "4"),
        ("ATELIER_TELEMETRY__FORMAT", "json"),
        ("ATELIER_TELEMETRY__OTLP_ENDPOINT", "http://collector:4317"),
        ("ATELIER_SERVER__SHUTDOWN__DRAIN", "1m 30s"),
    ] {
        layers.environment(variable(name, value)).unwrap();
    }
    let config = layers.build().unwrap();
    assert_eq!(config.name, "42");
    assert_eq!(config.threads, Some(4));
    assert_eq!(config.telemetry.format, LogFormat::Json);
    assert_eq!(config.telemetry.otlp_endpoint.as_deref(), Some("http://collector:4317"));
    assert_eq!(config.server.shutdown.drain, Duration::from_secs(90));
}

#[test]
fn errors_name_the_variable_and_the_field() {
    let mut layers = Layers::<Config>::new();
    for (name, value, expected) in [
        ("ATELIER_SERVER__MAX_CONECTIONS", "1", "max_conections"),
        ("ATELIER_THREADS", "many", "threads"),
        ("ATELIER_SERVER__SHUTDOWN__DRAIN", "soon", "drain"),
    ] {
        let error = layers.environment(variable(name, value)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
}

#[test]
fn errors_name_the_file_and_show_the_line() {
    let file = file("[server]\nmax_connections = \"lots\"\n");
    let error = Layers::<Config>::new().file(file.path()).unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()), "{error}");
    assert!(error.contains("max_connections = \"lots\""), "{error}");

    let missing = Path::new("/nowhere/atelier.toml");
    let error = Layers::<Config>::new().file(missing).unwrap_err().to_string();
    assert!(error.contains("/nowhere/atelier.toml"), "{error}");
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_left_alone() {
    let mut layers = Layers::<Config>::new();
    for (name, value) in [
        ("ATELIER_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("ATELIER_GATEWAY_SERVICE_PORT", "50051"),
        ("ATELIER_GATEWAY_SERVICE_PORT_GRPC", "50051"),
        ("ATELIER_GATEWAY_PORT", "tcp://10.0.0.1:50051"),
        ("ATELIER_GATEWAY_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ] {
        layers.environment(variable(name, value)).unwrap();
    }
    assert_eq!(layers.build().unwrap(), Config::default());
}

#[test]
fn a_secret_is_read_and_never_printed() {
    let mut layers = Layers::<Config>::new();
    layers.environment(variable("ATELIER_TOKEN", "swordfish")).unwrap();
    let config = layers.build().unwrap();
    assert_eq!(config.token.expose(), "swordfish");
    let printed = print_config(&config).unwrap();
    assert!(!printed.contains("swordfish") && !format!("{config:?}").contains("swordfish"), "{printed}");
    assert!(printed.contains("max_connections = 4096"), "{printed}");
}
