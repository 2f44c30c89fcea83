//! What watches the fleet.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use atelier_tests::workspace;

use crate::chart::{Helm, WORKERS, named, strings};

const ALL: [&str; 8] = [
    "--set",
    "metrics.enabled=true",
    "--set",
    "metrics.serviceMonitor.enabled=true",
    "--set",
    "metrics.rules.enabled=true",
    "--set",
    "metrics.dashboards.enabled=true",
];

#[test]
fn every_pod_can_be_scraped_where_that_is_asked_for_and_by_nobody_else() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&ALL);
    for role in WORKERS.into_iter().chain(["gateway"]) {
        let container = objects.container(role);
        assert!(strings(&container["args"]).contains(&"--admin-listen=0.0.0.0:9090"), "{role}");
        assert_eq!(named(&container["ports"], "metrics")["containerPort"], 9090);
        let service = objects.one("Service", &format!("-{role}"));
        assert_eq!(named(&service["spec"]["ports"], "metrics")["targetPort"], "metrics");
        let policy = objects.one("NetworkPolicy", &format!("-{role}"));
        let rules = policy["spec"]["ingress"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["ports"][0]["port"] == "metrics").unwrap();
        assert_eq!(rule["from"], json!([{"namespaceSelector": {}}]));
    }
    // What it selects is what the Services are labelled with.
    let monitor = objects.one("ServiceMonitor", "");
    let service = objects.one("Service", "-codec");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "metrics");

    let without = helm.text(&[]);
    for word in ["9090", "metrics", "ServiceMonitor", "PrometheusRule", "grafana"] {
        assert!(!without.contains(word), "{word} without being asked for");
    }
}

#[test]
fn the_alerts_and_dashboards_are_those_of_deploy() {
    let Some(helm) = Helm::find() else { return };
    let deploy = |path: &str| std::fs::read_to_string(workspace().join("deploy").join(path)).unwrap();
    let objects = helm.objects(&ALL);
    let rules: Value = serde_yaml_ng::from_str(&deploy("prometheus/rules.yaml")).unwrap();
    let spec = &objects.one("PrometheusRule", "")["spec"];
    assert!(spec["groups"].as_array().is_some_and(|groups| !groups.is_empty()));
    assert!(*spec == rules, "copy deploy/prometheus/rules.yaml to helm/atelier/files/");
    let dashboards = objects.one("ConfigMap", "-dashboards");
    for name in ["fleet", "models"] {
        let made = dashboards["data"][format!("atelier-{name}.json")].as_str().unwrap();
        let made: Value = serde_json::from_str(made).unwrap();
        let right: Value = serde_json::from_str(&deploy(&format!("grafana/{name}.json"))).unwrap();
        assert!(made == right, "copy deploy/grafana/{name}.json to helm/atelier/files/");
    }
}

#[test]
fn roles_are_scaled_by_their_queues_where_that_is_asked_for_and_the_gateway_by_its_processor() {
    let Some(helm) = Helm::find() else { return };
    let queue =
        "roleDefaults.autoscaling.enabled=true,roleDefaults.autoscaling.by=queue,roles.image.device=cuda";
    let watched = "metrics.enabled=true,metrics.prometheus=http://prometheus:9090";
    let objects = helm.objects(&["--set", queue, "--set", watched, "--namespace", "models"]);
    assert_eq!(objects.names("HorizontalPodAutoscaler"), ["fleet-atelier-gateway"]);
    let scaled: BTreeSet<_> = objects.names("ScaledObject").into_iter().collect();
    let workers = ["audio", "codec", "image", "text"].map(|role| format!("fleet-atelier-{role}"));
    assert!(scaled.into_iter().eq(&workers));
    for (role, last) in [("text", "cpu"), ("image", "prometheus")] {
        let spec = &objects.one("ScaledObject", &format!("-{role}"))["spec"];
        assert_eq!(spec["scaleTargetRef"]["name"], format!("fleet-atelier-{role}"));
        assert!(objects.one("Deployment", &format!("-{role}"))["spec"]["replicas"].is_null());
        let triggers = spec["triggers"].as_array().unwrap();
        assert_eq!(triggers.last().unwrap()["type"], last, "{role}");
        let pods = format!("{{namespace=\"models\",pod=~\"fleet-atelier-{role}-[a-z0-9]+-[a-z0-9]+\"}}");
        for (trigger, metric) in
            triggers.iter().zip(["atelier_engine_queue_depth", "atelier_engine_oldest_queued_seconds"])
        {
            assert_eq!(trigger["metadata"]["serverAddress"], "http://prometheus:9090");
            let query = trigger["metadata"]["query"].as_str().unwrap();
            assert!(query.contains(&format!("{metric}{pods}")), "{query}");
        }
    }

    let said = helm.refusal(&["--set", queue]);
    assert!(said.contains(".autoscaling.by: queue needs metrics.enabled and metrics.prometheus"), "{said}");
    let said = helm.refusal(&["--set", "roles.gateway.autoscaling.by=queue"]);
    assert!(
        said.contains("at '/roles/gateway/autoscaling': additional properties 'by' not allowed"),
        "{said}"
    );
    let said = helm.refusal(&["--set", "metrics.prometheus=prometheus:9090"]);
    assert!(said.contains("at '/metrics/prometheus'"), "{said}");
}

#[test]
fn a_monitor_of_nothing_is_refused() {
    let Some(helm) = Helm::find() else { return };
    let said = helm.refusal(&["--set", "metrics.serviceMonitor.enabled=true"]);
    assert!(said.contains("metrics.serviceMonitor.enabled: needs metrics.enabled"), "{said}");
    let said = helm.refusal(&["--set", "metrics.serviceMonitor.interval=soon"]);
    assert!(said.contains("interval"), "{said}");
}

#[test]
fn the_role_for_raw_tensors_is_there_where_it_is_asked_for_and_the_gateway_knows_it() {
    let Some(helm) = Helm::find() else { return };
    let without = helm.objects(&[]);
    assert!(!without.names("Deployment").contains(&"fleet-atelier-tensor"));
    let objects = helm.objects(&["--set", "roles.tensor.enabled=true"]);
    assert!(strings(&objects.container("tensor")["args"]).contains(&"--listen=0.0.0.0:50056"));
    let route = "--route=tensor=http://fleet-atelier-tensor:50056";
    assert!(strings(&objects.container("gateway")["args"]).contains(&route));
    let policy = objects.one("NetworkPolicy", "-gateway");
    let egress = policy["spec"]["egress"].as_array().unwrap();
    assert!(egress.iter().any(|rule| rule["ports"][0]["port"] == 50056));
}
