//! TLS and keys of the gateway, out of Secrets.

use atelier_tests::program::{atelier, stdout};
use serde_json::Value;

use crate::chart::{Helm, WORKERS, named};

const TLS: [&str; 2] = ["--set", "tls.secretName=door,tls.clientCertificates=true,access.secretName=callers"];

#[test]
fn the_gateway_is_given_the_files_of_its_secrets_and_the_roles_are_not() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&TLS);
    let gateway = objects.container("gateway");
    for (name, secret, at) in
        [("tls", "door", "/etc/atelier-tls"), ("access", "callers", "/etc/atelier-access")]
    {
        let mount = named(&gateway["volumeMounts"], name);
        assert_eq!((mount["mountPath"].as_str(), mount["readOnly"].as_bool()), (Some(at), Some(true)));
        let pod = &objects.one("Deployment", "-gateway")["spec"]["template"]["spec"];
        assert_eq!(named(&pod["volumes"], name)["secret"]["secretName"], secret);
    }
    for role in WORKERS {
        let text = serde_json::to_string(objects.one("Deployment", &format!("-{role}"))).unwrap();
        assert!(!text.contains("door") && !text.contains("callers"), "{role} has no business with them");
    }
}

/// What the configuration says goes into the program, with the Secrets' files where it says that they are.
#[test]
fn the_program_takes_the_configuration_with_tls_and_keys() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&TLS);
    let written = objects.one("ConfigMap", "-gateway")["data"]["config.toml"].as_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, written).unwrap();
    let mut command = atelier();
    command.args(["serve", "gateway", "--print-config", "--route", "text=http://t:1", "--config"]).arg(&path);
    let config: toml::Table = stdout(&command.output().unwrap()).parse().unwrap();
    let tls = &config["server"]["tls"];
    for (field, file) in [("certificate", "tls.crt"), ("key", "tls.key"), ("client_ca", "ca.crt")] {
        assert_eq!(tls[field].as_str().unwrap(), format!("/etc/atelier-tls/{file}"));
    }
    assert_eq!(config["access"]["keys"].as_str(), Some("/etc/atelier-access/keys.toml"));
    for role in WORKERS {
        let text = objects.one("ConfigMap", &format!("-{role}"))["data"]["config.toml"].as_str().unwrap();
        assert!(!text.contains("tls") && !text.contains("access"), "{role}: {text}");
    }
}

#[test]
fn what_speaks_tls_is_probed_over_http_and_what_does_not_by_its_health() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&TLS);
    let probes = |role: &str| -> [Value; 2] {
        ["readinessProbe", "livenessProbe"].map(|probe| objects.container(role)[probe].clone())
    };
    let [ready, live] = probes("gateway");
    assert_eq!((&ready["httpGet"]["path"], &live["httpGet"]["path"]), (&"/readyz".into(), &"/livez".into()));
    for probe in [ready, live] {
        assert_eq!((probe["httpGet"]["port"].as_str(), probe.get("grpc")), (Some("metrics"), None));
    }
    for role in WORKERS {
        let [ready, live] = probes(role);
        assert_eq!(
            (ready["grpc"].get("service"), live["grpc"]["service"].as_str()),
            (None, Some("liveness"))
        );
    }
    assert_eq!(objects.one("Service", "-gateway")["spec"]["ports"][0]["appProtocol"], "https");
    assert_eq!(objects.one("Service", "-text")["spec"]["ports"][0]["appProtocol"], "kubernetes.io/h2c");
    assert_eq!(objects.all("Pod").count(), 0, "helm test has no certificate to show");
    let one_way = helm.objects(&["--set", "tls.secretName=door"]);
    let args = &one_way.one("Pod", "-test-health")["spec"]["containers"][0]["args"];
    assert!(args.as_array().unwrap().contains(&"-tls".into()), "{args}");
    assert!(
        named(&objects.container("gateway")["ports"], "metrics")["containerPort"].is_u64(),
        "is there to be asked"
    );
}
