//! The objects of each role, and how they hang together.

use serde_json::{Value, json};

use crate::chart::{Helm, SHIPPED, WORKERS, named, strings};

#[test]
fn every_role_has_an_object_of_each_kind() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&["--set", "roleDefaults.autoscaling.enabled=true"]);
    let names: Vec<_> =
        ["audio", "codec", "gateway", "image", "text"].map(|role| format!("fleet-atelier-{role}")).into();
    for kind in [
        "Deployment",
        "Service",
        "ServiceAccount",
        "ConfigMap",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ] {
        assert_eq!(objects.names(kind), names, "{kind}");
    }
}

#[test]
fn a_role_that_is_off_leaves_no_object_and_no_route() {
    let Some(helm) = Helm::find() else { return };
    let text = helm.text(&["--set", "roles.text.enabled=false"]);
    assert!(!text.contains("fleet-atelier-text") && !text.contains("TextService"), "{text}");
    assert!(text.contains("--route=codec=http://fleet-atelier-codec:50052"), "{text}");
}

#[test]
fn roles_may_be_chosen_one_by_one_and_the_gateway_is_always_there() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&["--set", "roleDefaults.enabled=false,roles.text.enabled=true"]);
    assert_eq!(objects.names("Deployment"), ["fleet-atelier-gateway", "fleet-atelier-text"]);
}

/// Whatever points at pods points at those of its role, and at no other's.
#[test]
fn selectors_choose_the_pods_of_their_own_role() {
    let Some(helm) = Helm::find() else { return };
    for values in SHIPPED {
        let objects = helm.objects(&["--values", values]);
        for role in WORKERS.into_iter().chain(["gateway"]) {
            let name = format!("-{role}");
            let deployment = objects.one("Deployment", &name);
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            let selector = json!({
                "app.kubernetes.io/name": "atelier",
                "app.kubernetes.io/instance": "fleet",
                "app.kubernetes.io/component": role,
            });
            for (key, value) in selector.as_object().unwrap() {
                assert_eq!(&labels[key], value, "{role} {key}");
            }
            assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
            assert_eq!(objects.one("Service", &name)["spec"]["selector"], selector);
            let constraints = objects.pod(role)["topologySpreadConstraints"].as_array();
            for constraint in constraints.into_iter().flatten() {
                assert_eq!(constraint["labelSelector"]["matchLabels"], selector);
            }
            for budget in objects.all("PodDisruptionBudget").filter(|o| ends(o, &name)) {
                assert_eq!(budget["spec"]["selector"]["matchLabels"], selector);
            }
            assert_eq!(objects.pod(role)["serviceAccountName"], format!("fleet-atelier-{role}"));
        }
    }
}

fn ends(object: &Value, suffix: &str) -> bool {
    object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(suffix))
}

#[test]
fn services_are_headless_and_say_that_they_speak_http_2_in_the_clear() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    for service in objects.all("Service") {
        assert_eq!(service["spec"]["clusterIP"], "None");
        let port = &service["spec"]["ports"][0];
        assert_eq!(port["appProtocol"], "kubernetes.io/h2c");
        assert_eq!(port["targetPort"], "grpc");
        let role = service["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap();
        let container = objects.container(role);
        assert_eq!(named(&container["ports"], "grpc")["containerPort"], port["port"]);
        assert!(strings(&container["args"]).contains(&&*format!("--listen=0.0.0.0:{}", port["port"])));
    }
}

#[test]
fn readiness_goes_by_the_health_of_the_whole_and_liveness_by_that_of_the_process() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    for role in WORKERS.into_iter().chain(["gateway"]) {
        let container = objects.container(role);
        let port = &named(&container["ports"], "grpc")["containerPort"];
        assert_eq!(container["readinessProbe"]["grpc"], json!({ "port": port }));
        assert_eq!(container["livenessProbe"]["grpc"], json!({ "port": port, "service": "liveness" }));
        // It would kill what takes long to load.
        assert!(container["startupProbe"].is_null());
    }
}

#[test]
fn the_grace_period_follows_from_the_two_stages_of_the_shutdown() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&["--set", "shutdown.drainSeconds=120,shutdown.notReadySeconds=7"]);
    for role in ["gateway", "codec", "text"] {
        assert_eq!(objects.pod(role)["terminationGracePeriodSeconds"], 120 + 7 + 15);
        let config = &objects.one("ConfigMap", &format!("-{role}"))["data"]["config.toml"];
        let config: toml::Table = config.as_str().unwrap().parse().unwrap();
        let shutdown = &config["server"]["shutdown"];
        assert_eq!(shutdown["drain"].as_str(), Some("120s"));
        assert_eq!(shutdown["not_ready_wait"].as_str(), Some("7s"));
    }
}

#[test]
fn an_autoscaler_takes_the_place_of_a_number_of_pods() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&["--set", "roles.text.autoscaling.enabled=true,roles.codec.replicas=3"]);
    assert_eq!(objects.names("HorizontalPodAutoscaler"), ["fleet-atelier-text"]);
    let text = &objects.one("HorizontalPodAutoscaler", "-text")["spec"];
    assert_eq!(text["scaleTargetRef"]["name"], "fleet-atelier-text");
    assert_eq!(text["metrics"][0]["resource"]["name"], "cpu");
    assert!(objects.one("Deployment", "-text")["spec"]["replicas"].is_null());
    assert_eq!(objects.one("Deployment", "-codec")["spec"]["replicas"], 3);
}

#[test]
fn a_role_on_a_gpu_asks_for_one_and_takes_the_image_that_can_use_it() {
    let Some(helm) = Helm::find() else { return };
    let set =
        "roles.text.device=cuda,roles.text.gpus=2,gpu.runtimeClassName=nvidia,gpu.nodeSelector.gpu=h200";
    let objects = helm.objects(&["--set", set]);
    let (pod, container) = (objects.pod("text"), objects.container("text"));
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], 2);
    assert_eq!(container["image"], "atelier:0.1.0-cuda");
    assert!(strings(&container["args"]).contains(&"--device=cuda"));
    assert_eq!(pod["runtimeClassName"], "nvidia");
    assert_eq!(pod["nodeSelector"]["gpu"], "h200");
    assert_eq!(pod["tolerations"][0]["key"], "nvidia.com/gpu");
    // The others take nothing of it.
    let (pod, container) = (objects.pod("codec"), objects.container("codec"));
    assert!(container["resources"]["limits"]["nvidia.com/gpu"].is_null());
    assert_eq!(container["image"], "atelier:0.1.0");
    assert!(
        pod["tolerations"].is_null() && pod["nodeSelector"].is_null() && pod["runtimeClassName"].is_null()
    );
}

#[test]
fn a_changed_configuration_is_a_new_pod_and_only_of_its_role() {
    let Some(helm) = Helm::find() else { return };
    let [before, after] = [&[][..], &["--set", "roles.text.config.engine.slots=8"]].map(|args| {
        let objects = helm.objects(args);
        ["text", "codec"].map(|role| {
            let template = &objects.one("Deployment", &format!("-{role}"))["spec"]["template"];
            template["metadata"]["annotations"]["checksum/config"].clone()
        })
    });
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1]);
}

#[test]
fn the_gateway_is_reached_in_the_way_that_was_chosen() {
    let Some(helm) = Helm::find() else { return };
    let kinds = ["GRPCRoute", "Ingress"];
    let none = helm.objects(&[]);
    assert!(kinds.iter().all(|kind| none.names(kind).is_empty()));
    let balancers = |service: &&Value| service["spec"]["type"] == "LoadBalancer";
    assert_eq!(none.all("Service").filter(balancers).count(), 0);

    let expose = r#"expose={"as":"loadBalancer","sourceRanges":["10.0.0.0/8"]}"#;
    let balanced = helm.objects(&["--set-json", expose]);
    let service = &balanced.one("Service", "")["spec"];
    assert_eq!((&service["type"], &service["ports"][0]["port"]), (&json!("LoadBalancer"), &json!(50051)));
    assert_eq!(service["selector"]["app.kubernetes.io/component"], "gateway");
    assert_eq!(service["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));

    let expose = r#"expose={"as":"grpcRoute","parentRefs":[{"name":"door"}],"hostnames":["a.example.org"]}"#;
    let routed = helm.objects(&["--set-json", expose]);
    let route = &routed.one("GRPCRoute", "")["spec"];
    let backend = json!([{ "name": "fleet-atelier-gateway", "port": 50051 }]);
    assert_eq!(route["rules"][0]["backendRefs"], backend);
    assert_eq!(route["parentRefs"], json!([{ "name": "door" }]));

    let expose =
        r#"expose={"as":"ingress","host":"a.example.org","tlsSecretName":"cert","className":"nginx"}"#;
    let entered = helm.objects(&["--set-json", expose]);
    let ingress = &entered.one("Ingress", "")["spec"];
    assert_eq!(ingress["tls"], json!([{ "hosts": ["a.example.org"], "secretName": "cert" }]));
    let service = &ingress["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(service, &json!({ "name": "fleet-atelier-gateway", "port": { "name": "grpc" } }));
}
