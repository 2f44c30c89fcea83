//! Values that cannot be meant are refused by name, and nothing comes out.

use crate::chart::Helm;

/// Each with `--set-json` and what the refusal must name.
const REFUSED: [(&str, &str); 34] = [
    ("colour=1", "additional properties 'colour' not allowed"),
    ("image.name=\"x\"", "at '/image': additional properties 'name' not allowed"),
    ("image.tag=\"a b\"", "at '/image/tag'"),
    ("image.digest=\"sha256:1\"", "at '/image/digest'"),
    ("cudaImage.pullPolicy=\"Sometimes\"", "at '/cudaImage/pullPolicy'"),
    ("fullnameOverride=\"Fleet\"", "at '/fullnameOverride'"),
    ("bind=\"here\"", "at '/bind'"),
    ("shutdown.drainSeconds=-1", "at '/shutdown/drainSeconds'"),
    ("shutdown.drainSeconds=\"30s\"", "at '/shutdown/drainSeconds'"),
    ("podSecurity.runAsUser=0", "at '/podSecurity/runAsUser'"),
    ("podSecurity.privileged=true", "at '/podSecurity': additional properties 'privileged' not allowed"),
    ("tls.certificate=\"a.crt\"", "at '/tls': additional properties 'certificate' not allowed"),
    ("tls.clientCertificates=true", "tls.clientCertificates: needs tls.secretName"),
    ("access.secretName=7", "at '/access/secretName'"),
    ("roles.text.config.telemetry.sample_ratio=2", "at '/roles/text/config/telemetry/sample_ratio'"),
    ("networkPolicy.from=[]", "at '/networkPolicy': additional properties 'from' not allowed"),
    ("roles.video={}", "at '/roles': additional properties 'video' not allowed"),
    ("roles.gateway.enabled=false", "at '/roles/gateway/enabled'"),
    ("roles.gateway.device=\"cuda\"", "at '/roles/gateway': additional properties 'device' not allowed"),
    ("roles.text.device=\"tpu\"", "at '/roles/text/device'"),
    ("roles.text.slots=4", "at '/roles/text': additional properties 'slots' not allowed"),
    ("roles.text.config.engine.slots=0", "at '/roles/text/config/engine/slots'"),
    ("roles.text.config.engine.speed=1", "at '/roles/text/config/engine': additional properties 'speed'"),
    ("roles.text.config.server.max_connections=0", "at '/roles/text/config/server/max_connections'"),
    ("roleDefaults.config.telemetry.format=\"xml\"", "at '/roleDefaults/config/telemetry/format'"),
    (
        "roleDefaults.config.telemetry.otlp_endpoint=\"here\"",
        "at '/roleDefaults/config/telemetry/otlp_endpoint'",
    ),
    ("roles.text.resources.limits.cpu=\"2x\"", "at '/roles/text/resources/limits/cpu'"),
    ("roles.text.spread.nodes=\"Never\"", "at '/roles/text/spread/nodes'"),
    ("roles.text.rollout.maxSurge=\"a lot\"", "at '/roles/text/rollout/maxSurge'"),
    // What no schema can see.
    ("roleDefaults.rollout.maxSurge=0", "roles.audio.rollout.maxUnavailable: is 0"),
    (
        "roles.text.autoscaling={\"enabled\":true,\"minReplicas\":9}",
        "roles.text.autoscaling.minReplicas: is 9, must be at most maxReplicas, 4",
    ),
    (
        "roleDefaults={\"autoscaling\":{\"enabled\":true},\"resources\":{\"requests\":{\"cpu\":null}}}",
        "roles.audio.autoscaling.enabled: needs roles.audio.resources.requests.cpu",
    ),
    ("roleDefaults.enabled=false", "roles: the gateway has no role to forward to"),
    ("test.image=\"\"", "at '/test/image'"),
];

#[test]
fn what_cannot_be_meant_is_refused_by_its_path() {
    let Some(helm) = Helm::find() else { return };
    for (values, named) in REFUSED {
        let said = helm.refusal(&["--set-json", values]);
        assert!(said.contains(named), "{values}: {said}");
    }
}

#[test]
fn one_of_four_sources_of_models_is_meant_or_none_is_taken() {
    let Some(helm) = Helm::find() else { return };
    for (models, named) in [
        (r#"{"from":"pvc"}"#, "/from'"),
        (r#"{"from":"persistentVolumeClaim"}"#, "missing property 'claimName'"),
        (r#"{"from":"imageVolume"}"#, "missing property 'reference'"),
        (r#"{"from":"initContainer"}"#, "missing property 'image'"),
        (r#"{"from":"image","claimName":"x"}"#, "additional properties 'claimName' not allowed"),
        (r#"{"from":"persistentVolumeClaim","claimName":"x","subPath":"../etc"}"#, "/subPath'"),
        (r#"{"from":"persistentVolumeClaim","claimName":"x","subPath":"/etc"}"#, "/subPath'"),
    ] {
        for place in ["models", "roles.text.models"] {
            let said = helm.refusal(&["--set-json", &format!("{place}={models}")]);
            let path = format!("at '/{}", place.replace('.', "/"));
            assert!(said.contains(&path) && said.contains(named), "{place}={models}: {said}");
        }
    }
}

#[test]
fn one_of_four_ways_in_is_meant_or_none_is_taken() {
    let Some(helm) = Helm::find() else { return };
    for (expose, named) in [
        (r#"{"as":"nodePort"}"#, "at '/expose/as'"),
        (r#"{"as":"ingress"}"#, "missing property 'host'"),
        (r#"{"as":"grpcRoute"}"#, "missing property 'parentRefs'"),
        (r#"{"as":"grpcRoute","parentRefs":[]}"#, "at '/expose/parentRefs'"),
        (r#"{"as":"loadBalancer","host":"x"}"#, "additional properties 'host' not allowed"),
        (r#"{"as":"loadBalancer","sourceRanges":["home"]}"#, "at '/expose/sourceRanges/0'"),
    ] {
        let said = helm.refusal(&["--set-json", &format!("expose={expose}")]);
        assert!(said.contains(named), "{expose}: {said}");
    }
}
