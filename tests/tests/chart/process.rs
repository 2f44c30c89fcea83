//! The program takes what the chart gives it, and is what the chart says it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use atelier_tests::program::{atelier, stdout};
use atelier_tests::{Fleet, workspace};
use serde_json::Value;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::chart::{Helm, Objects, WORKERS, named, strings};

/// The command line of a role as in its pod, with its configuration file in this directory.
fn command(objects: &Objects, role: &str, directory: &Path) -> Command {
    let config = objects.one("ConfigMap", &format!("-{role}"))["data"]["config.toml"].as_str().unwrap();
    let path = directory.join(format!("{role}.toml"));
    std::fs::write(&path, config).unwrap();
    let mut command = atelier();
    for arg in strings(&objects.container(role)["args"]) {
        command.arg(arg.replace("/etc/atelier/config.toml", path.to_str().unwrap()));
    }
    command
}

fn config(objects: &Objects, role: &str) -> toml::Table {
    let directory = tempfile::tempdir().unwrap();
    let output = command(objects, role, directory.path()).arg("--print-config").output().unwrap();
    stdout(&output).parse().unwrap()
}

/// Every field that can be set comes out of the program as it went into the chart.
#[test]
fn the_program_takes_the_command_line_and_the_configuration_of_every_pod() {
    let Some(helm) = Helm::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let values = directory.path().join("values.yaml");
    let server = r#"{"max_message_bytes":33554432,"max_concurrent_requests":7,"max_connections":1000000,
        "max_streams_per_connection":8,"max_header_bytes":9000}"#;
    let telemetry = r#"{"format":"text","filter":"info,a=\"b\"","otlp_endpoint":"http://c:4317",
        "sample_ratio":0.25}"#;
    let engine = r#"{"parallelism":3,"batching":"fast","max_batch":4,"queue_rows":5,"queue_requests":6,
        "max_queue_delay_us":500,"slots":7,"waiting":8,"stream_buffer":9}"#;
    let both = format!(r#""server":{server},"telemetry":{telemetry}"#);
    let worker = format!(r#"{{"enabled":true,"config":{{"engine":{engine},{both}}}}}"#);
    let roles = WORKERS.map(|role| format!(r#""{role}":{worker}"#)).join(",");
    let gateway =
        format!(r#""gateway":{{"config":{{"connect_timeout_ms":1234,"resolve_interval":"7s",{both}}}}}"#);
    std::fs::write(&values, format!(r#"{{"bind":"::","roles":{{{roles},{gateway}}}}}"#)).unwrap();
    let objects = helm.objects(&["--values", values.to_str().unwrap()]);

    let given: toml::Table = toml::Table::try_from(serde_json::json!({
        "engine": serde_json::from_str::<Value>(engine).unwrap(),
        "server": serde_json::from_str::<Value>(server).unwrap(),
        "telemetry": serde_json::from_str::<Value>(telemetry).unwrap(),
    }))
    .unwrap();
    for role in WORKERS.into_iter().chain(["gateway"]) {
        let config = config(&objects, role);
        for table in ["engine", "server", "telemetry"] {
            if role == "gateway" && table == "engine" {
                continue;
            }
            for (key, value) in given[table].as_table().unwrap() {
                assert_eq!(&config[table][key], value, "{role} {table}.{key}");
            }
        }
        let port = &named(&objects.container(role)["ports"], "grpc")["containerPort"];
        assert_eq!(config["listen"].as_str().unwrap(), format!("[::]:{port}"));
    }
    assert_eq!(config(&objects, "gateway")["connect_timeout_ms"].as_integer(), Some(1234));
    assert_eq!(config(&objects, "gateway")["resolve_interval"].as_str(), Some("7s"));
    assert_eq!(config(&objects, "gateway")["routes"].as_array().unwrap().len(), WORKERS.len());
}

/// A field that the program gets must come to the chart too, and one that it loses must go.
#[test]
fn the_schema_knows_the_fields_that_the_program_has() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let schema = std::fs::read(workspace().join("helm/atelier/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let known = |name: &str| -> BTreeSet<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let keys =
        |table: &toml::Value| -> BTreeSet<String> { table.as_table().unwrap().keys().cloned().collect() };
    let text = config(&objects, "text");
    // Printed only where they are set: TOML has no word for nothing.
    let mut engine = keys(&text["engine"]);
    engine.insert("parallelism".into());
    let mut telemetry = keys(&text["telemetry"]);
    telemetry.insert("otlp_endpoint".into());
    let mut server = keys(&text["server"]);
    // That is `shutdown` of the chart, from which the grace period follows.
    assert!(server.remove("shutdown"));
    // Its files are those of the Secret in `tls.secretName`.
    assert!(server.remove("tls"));
    assert_eq!(known("engineConfig"), engine);
    assert_eq!(known("telemetryConfig"), telemetry);
    assert_eq!(known("serverConfig"), server);
}

/// The ports, routes and names of services are the program's: the fleet of the chart, on this machine, answers
/// the questions of `helm test`.
#[tokio::test]
async fn helm_test_asks_for_services_that_the_gateway_has() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let fleet = Fleet::shared();
    let address = format!("http://{}", fleet.address());
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let containers = objects.one("Pod", "-test-health")["spec"]["containers"].as_array().unwrap();
    let mut asked = Vec::new();
    for container in containers {
        let args = strings(&container["args"]);
        assert!(args.contains(&"-addr=fleet-atelier-gateway:50051"), "{args:?}");
        let service = args.iter().find_map(|arg| arg.strip_prefix("-service=")).unwrap_or_default();
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service:?}");
        asked.push(service);
    }
    let service = |domain: &str, name: &str| format!("atelier.{domain}.v1.{name}Service");
    let all = [("audio", "Audio"), ("codec", "Codec"), ("image", "Image"), ("text", "Text")];
    let mut expected: Vec<_> = all.map(|(domain, name)| service(domain, name)).into();
    // The gateway itself, in its place of the alphabet.
    expected.insert(2, String::new());
    assert_eq!(asked, expected);
}

/// What the default values enable must find a package in `models/`, or its pods would never start.
#[test]
fn roles_that_are_on_by_default_have_shipped_models() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let kinds: BTreeSet<String> = atelier_tests::models::all().into_iter().map(|model| model.kind).collect();
    let has = |any: &[&str]| any.iter().any(|kind| kinds.contains(*kind));
    for (role, own) in [
        ("codec", &["autoencoder", "denoising-autoencoder", "variational-autoencoder"][..]),
        ("text", &["char-rnn"]),
        ("image", &["gan", "ager"]),
        ("audio", &["wavenet"]),
    ] {
        let on = objects.names("Deployment").contains(&&*format!("fleet-atelier-{role}"));
        assert!(!on || has(own), "{role} is on, with none of {own:?} in models/");
    }
}
