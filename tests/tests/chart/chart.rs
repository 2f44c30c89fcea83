//! Helm, and what it makes of the chart.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use atelier_tests::workspace;
use serde::Deserialize;
use serde_json::Value;

/// The files of values that are shipped, the defaults first.
pub(crate) const SHIPPED: [&str; 4] = ["values.yaml", "values-dev.yaml", "values-ha.yaml", "values-gpu.yaml"];

/// The roles that run models.
pub(crate) const WORKERS: [&str; 4] = ["codec", "text", "image", "audio"];

/// The Helm that `cargo xtask test` builds. Where there is none, the test is left out, and says so.
pub(crate) struct Helm(PathBuf);

impl Helm {
    pub(crate) fn find() -> Option<Self> {
        let helm = std::env::var_os("XTASK_HELM").map(PathBuf::from).filter(|helm| helm.exists());
        if helm.is_none() {
            // Not by `eprintln!`, which shows nothing where a test passes.
            let missing = "XTASK_HELM names no Helm: `cargo xtask helm` builds it, with Go";
            let _ = writeln!(std::io::stderr(), "SKIPPED, not passed: {missing}");
        }
        helm.map(Self)
    }

    /// Runs Helm in the chart's folder, apart from the user's own settings.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.0);
        command.current_dir(workspace().join("helm/atelier")).args(args);
        for variable in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
            command.env(variable, home.path());
        }
        // No cluster of the user's is asked for anything.
        command.env("KUBECONFIG", home.path().join("none")).output().unwrap()
    }

    /// `helm template` of a release called `fleet`, as text.
    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = self.run(&[&["template", "fleet", "."], args].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as objects.
    pub(crate) fn objects(&self, args: &[&str]) -> Objects {
        let text = self.text(args);
        let documents = serde_yaml_ng::Deserializer::from_str(&text);
        let objects = documents.map(|document| Value::deserialize(document).unwrap());
        Objects(objects.filter(|object| !object.is_null()).collect())
    }

    /// What Helm says to values that it refuses.
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        let output = self.run(&[&["template", "fleet", "."], args].concat());
        assert!(!output.status.success(), "{args:?} is taken");
        assert!(output.stdout.is_empty(), "{args:?} is refused, and yet something came out");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The objects of a release.
pub(crate) struct Objects(pub(crate) Vec<Value>);

impl Objects {
    /// The objects of one kind.
    pub(crate) fn all<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let all: Vec<_> = self.0.iter().filter(|object| object["kind"] == kind).collect();
        all.into_iter()
    }

    /// The names of the objects of one kind.
    pub(crate) fn names(&self, kind: &str) -> Vec<&str> {
        self.all(kind).map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
    }

    /// The one object of this kind and name; the name is what follows `fleet-atelier`.
    pub(crate) fn one(&self, kind: &str, suffix: &str) -> &Value {
        let name = format!("fleet-atelier{suffix}");
        let found: Vec<_> = self.all(kind).filter(|object| object["metadata"]["name"] == *name).collect();
        assert_eq!(found.len(), 1, "{kind} {name} among {:?}", self.names(kind));
        found[0]
    }

    /// The pod of a role's Deployment.
    pub(crate) fn pod(&self, role: &str) -> &Value {
        &self.one("Deployment", &format!("-{role}"))["spec"]["template"]["spec"]
    }

    /// The container of a role.
    pub(crate) fn container(&self, role: &str) -> &Value {
        let containers = self.pod(role)["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// The one object of a list with this name.
pub(crate) fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().and_then(|list| list.iter().find(|item| item["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}
