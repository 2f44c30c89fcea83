//! The four places that packages come from.

use serde_json::{Value, json};

use crate::chart::{Helm, Objects, named};

/// The volume of a role, and how its container has it.
fn volume<'a>(objects: &'a Objects, role: &str) -> (&'a Value, &'a Value) {
    let mount = named(&objects.container(role)["volumeMounts"], "models");
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&json!("/models"), &json!(true)));
    (named(&objects.pod(role)["volumes"], "models"), mount)
}

#[test]
fn models_of_the_image_need_no_volume() {
    let Some(helm) = Helm::find() else { return };
    let text = helm.text(&[]);
    assert!(text.contains("--models=/models") && !text.contains("name: models"), "{text}");
}

#[test]
fn a_claim_and_an_image_are_mounted_to_be_read() {
    let Some(helm) = Helm::find() else { return };
    let claim = r#"models={"from":"persistentVolumeClaim","claimName":"shelf","subPath":"a/b"}"#;
    let objects = helm.objects(&["--set-json", claim]);
    for role in ["codec", "text"] {
        let (volume, mount) = volume(&objects, role);
        assert_eq!(volume["persistentVolumeClaim"], json!({ "claimName": "shelf", "readOnly": true }));
        assert_eq!(mount["subPath"], "a/b");
    }
    // The gateway runs no models.
    assert!(!objects.pod("gateway").to_string().contains("models"));

    let image = r#"models={"from":"imageVolume","reference":"registry/models:7"}"#;
    let objects = helm.objects(&["--set-json", image]);
    let image = json!({ "reference": "registry/models:7", "pullPolicy": "IfNotPresent" });
    assert_eq!(volume(&objects, "text").0["image"], image);
}

#[test]
fn a_container_fills_the_directory_before_the_server_reads_it() {
    let Some(helm) = Helm::find() else { return };
    let fill =
        r#"models={"from":"initContainer","image":"fetch:1","args":["s3://a","/models"],"sizeLimit":"2Gi"}"#;
    let objects = helm.objects(&["--set-json", fill]);
    assert_eq!(volume(&objects, "text").0["emptyDir"], json!({ "sizeLimit": "2Gi" }));
    let container = named(&objects.pod("text")["initContainers"], "models");
    assert_eq!((&container["image"], &container["args"][0]), (&json!("fetch:1"), &json!("s3://a")));
    assert!(named(&container["volumeMounts"], "models")["readOnly"].is_null());
}

#[test]
fn a_role_may_have_models_of_its_own() {
    let Some(helm) = Helm::find() else { return };
    let claim = r#"{"from":"persistentVolumeClaim","claimName":"all"}"#;
    let own = r#"{"from":"persistentVolumeClaim","claimName":"own"}"#;
    let args = ["--set-json", &format!("models={claim}"), "--set-json", &format!("roles.text.models={own}")];
    let objects = helm.objects(&args);
    assert_eq!(volume(&objects, "codec").0["persistentVolumeClaim"]["claimName"], "all");
    assert_eq!(volume(&objects, "text").0["persistentVolumeClaim"]["claimName"], "own");
}
