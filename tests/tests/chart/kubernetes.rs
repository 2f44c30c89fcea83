//! The schemas of Kubernetes, in which an unknown field is a fault.

use std::io::Write;
use std::process::{Command, Stdio};

use atelier_tests::{python, workspace};

use crate::chart::{Helm, SHIPPED};

/// The oldest that the chart says it is for, and the newest that there are schemas of.
const VERSIONS: [&str; 2] = ["1.31.0", "1.37.0"];

#[test]
fn objects_are_what_the_oldest_and_the_newest_kubernetes_take() {
    let (Some(helm), Some(python)) = (Helm::find(), python::judges()) else { return };
    let mut all = String::new();
    for values in SHIPPED {
        all.push_str(&helm.text(&["--values", values]));
    }
    for variant in [
        r#"models={"from":"persistentVolumeClaim","claimName":"shelf","subPath":"a"}"#,
        r#"models={"from":"imageVolume","reference":"registry/models:7"}"#,
        r#"models={"from":"initContainer","image":"fetch:1","env":[{"name":"A","value":"b"}]}"#,
        r#"expose={"as":"loadBalancer","sourceRanges":["10.0.0.0/8"]}"#,
        r#"expose={"as":"ingress","host":"a.example.org","tlsSecretName":"cert"}"#,
        r#"roles.text={"device":"cuda","affinity":{"podAffinity":{}},"env":[{"name":"A","value":"b"}]}"#,
    ] {
        all.push_str(&helm.text(&["--set-json", variant]));
    }
    let (judged, said) = judge(&python, &all);
    assert!(judged, "{said}");
    // Nothing was passed over: an object each document.
    let documents = all.lines().filter(|line| line.starts_with("kind: ")).count();
    assert!(said.ends_with(&format!("{} objects\n", documents * VERSIONS.len())), "{said}");

    // And the judge would see a fault.
    let broken =
        helm.text(&[]).replace("maxSkew: 1", "maxSkew: few").replace("clusterIP: None", "clusterip: None");
    let (judged, said) = judge(&python, &broken);
    assert!(!judged && said.contains("'few'") && said.contains("clusterip"), "{said}");
}

fn judge(python: &std::path::Path, objects: &str) -> (bool, String) {
    let mut judge = Command::new(python);
    judge.arg(workspace().join("helm/tests/judge.py")).args(VERSIONS);
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(objects.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}
