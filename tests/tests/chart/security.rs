//! What pods may do, and whom they may talk to.

use serde_json::{Value, json};

use crate::chart::{Helm, Objects, SHIPPED, WORKERS, strings};

/// Every pod of a release: those of Deployments, and the test's.
fn pods(objects: &Objects) -> Vec<&Value> {
    let deployed = objects.all("Deployment").map(|deployment| &deployment["spec"]["template"]["spec"]);
    deployed.chain(objects.all("Pod").map(|pod| &pod["spec"])).collect()
}

#[test]
fn no_container_is_root_or_can_write_to_its_image_or_has_a_capability() {
    let Some(helm) = Helm::find() else { return };
    let fill = r#"models={"from":"initContainer","image":"fetch:1"}"#;
    for values in SHIPPED {
        let objects = helm.objects(&["--values", values, "--set-json", fill]);
        let pods = pods(&objects);
        assert_eq!(pods.len(), 6);
        for pod in pods {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            // Services would become variables that begin like the program's own.
            assert_eq!(pod["enableServiceLinks"], false);
            let containers =
                ["initContainers", "containers"].into_iter().filter_map(|key| pod[key].as_array());
            for container in containers.flatten() {
                let security = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                });
                assert_eq!(container["securityContext"], security, "{}", container["name"]);
            }
        }
    }
}

#[test]
fn only_the_gateway_reaches_a_role_and_a_role_reaches_nobody() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let deny = &objects.one("NetworkPolicy", "-default-deny")["spec"];
    assert_eq!(strings(&deny["policyTypes"]), ["Ingress", "Egress"]);
    assert!(deny["ingress"].is_null() && deny["egress"].is_null());
    // Every pod, the test's too, is one of those that nothing is allowed.
    let labels = objects.all("Deployment").map(|deployment| &deployment["spec"]["template"]["metadata"]);
    for metadata in labels.chain(objects.all("Pod").map(|pod| &pod["metadata"])) {
        for (key, value) in deny["podSelector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&metadata["labels"][key], value);
        }
    }
    let gateway = &objects.one("NetworkPolicy", "-gateway")["spec"];
    for role in WORKERS {
        let policy = &objects.one("NetworkPolicy", &format!("-{role}"))["spec"];
        assert_eq!(
            policy["ingress"],
            json!([{
                "ports": [{ "port": "grpc" }],
                "from": [{ "podSelector": gateway["podSelector"] }],
            }])
        );
        assert!(policy["egress"].is_null() && strings(&policy["policyTypes"]).contains(&"Egress"));
        // And the gateway may go there.
        let to = json!([{ "podSelector": policy["podSelector"] }]);
        let port = &objects.container(role)["ports"][0]["containerPort"];
        let rule = json!({ "ports": [{ "port": port }], "to": to });
        assert!(gateway["egress"].as_array().unwrap().contains(&rule), "{role}: {gateway}");
    }
}

#[test]
fn a_fence_around_the_gateway_lets_the_test_through() {
    let Some(helm) = Helm::find() else { return };
    let from = r#"networkPolicy.gatewayFrom=[{"namespaceSelector":{"matchLabels":{"team":"a"}}}]"#;
    let objects = helm.objects(&["--set-json", from]);
    let from = &objects.one("NetworkPolicy", "-gateway")["spec"]["ingress"][0]["from"];
    assert_eq!(from[0]["namespaceSelector"]["matchLabels"]["team"], "a");
    let test = &objects.one("Pod", "-test-health")["metadata"]["labels"];
    for (key, value) in from[1]["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&test[key], value);
    }
    assert_eq!(from.as_array().unwrap().len(), 2);
}

#[test]
fn traces_may_leave_to_the_port_of_their_endpoint_and_names_be_looked_up() {
    let Some(helm) = Helm::find() else { return };
    for (endpoint, port) in [("http://collector.otel:4417", 4417), ("http://collector.otel", 4317)] {
        let set = format!("roles.text.config.telemetry.otlp_endpoint={endpoint}");
        let objects = helm.objects(&["--set", &set]);
        let egress = &objects.one("NetworkPolicy", "-text")["spec"]["egress"];
        let ports: Vec<_> =
            egress.as_array().unwrap().iter().map(|rule| rule["ports"][0]["port"].clone()).collect();
        assert_eq!(ports, [53, port]);
        assert!(objects.one("NetworkPolicy", "-codec")["spec"]["egress"].is_null());
    }
}
