//! `deploy/`: the compose file and what it mounts, held to each other. Images are built by hand, not here.

// Clippy knows test functions, and not what they call.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::read_to_string;

use atelier_tests::workspace;
use serde_json::Value;

const WORKERS: [(&str, u16); 4] = [("codec", 50052), ("text", 50053), ("image", 50054), ("audio", 50055)];

fn yaml(path: &str) -> Value {
    let mut value: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read_to_string(workspace().join("deploy").join(path)).unwrap()).unwrap();
    // A merged mapping may itself merge another.
    for _ in 0..2 {
        value.apply_merge().unwrap();
    }
    serde_json::to_value(value).unwrap()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn every_process_is_confined_and_scraped() {
    let (compose, prometheus) = (yaml("compose.yaml"), yaml("compose/prometheus.yaml"));
    let targets = words(&prometheus["scrape_configs"][0]["static_configs"][0]["targets"]);
    let processes: BTreeSet<&str> = WORKERS.map(|(role, _)| role).into_iter().chain(["gateway"]).collect();
    let scraped: BTreeSet<&str> =
        targets.iter().map(|target| target.strip_suffix(":9090").unwrap()).collect();
    assert_eq!(scraped, processes);
    let gateway = words(&compose["services"]["gateway"]["command"]);
    for (role, port) in WORKERS {
        assert!(
            gateway.contains(&format!("--route={role}=http://{role}:{port}").as_str()),
            "{role}: {gateway:?}"
        );
        let command = words(&compose["services"][role]["command"]);
        let listen = format!("--listen=0.0.0.0:{port}");
        assert_eq!(command, ["serve", role, listen.as_str(), "--models=/models"]);
    }
    for name in processes {
        let service = &compose["services"][name];
        assert_eq!(
            (&service["read_only"], &service["user"]),
            (&true.into(), &"65532:65532".into()),
            "{name}"
        );
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(service["environment"]["ATELIER_ADMIN__LISTEN"], "0.0.0.0:9090", "{name}");
    }
}

#[test]
fn the_role_for_raw_tensors_is_added_as_the_others_are() {
    let (compose, added) = (yaml("compose.yaml"), yaml("compose.tensor.yaml"));
    let tensor = &added["services"]["tensor"];
    let like = tensor["extends"]["service"].as_str().unwrap();
    assert!(compose["services"][like].is_object(), "{like}");
    let others: Vec<&str> = words(&compose["services"][like]["command"]);
    let expected: Vec<String> =
        others.iter().map(|word| word.replace(like, "tensor").replace("50052", "50056")).collect();
    assert_eq!(words(&tensor["command"]), expected);
    let mut gateway = words(&compose["services"]["gateway"]["command"]);
    gateway.push("--route=tensor=http://tensor:50056");
    assert_eq!(words(&added["services"]["gateway"]["command"]), gateway);
    let scraped = yaml("compose/prometheus.yaml");
    assert_eq!(words(&scraped["scrape_configs"][0]["dns_sd_configs"][0]["names"]), ["tensor"]);
}

#[test]
fn what_is_sent_to_be_built_is_the_same_for_every_engine_and_runs_as_nobody() {
    let read = |path: &str| read_to_string(workspace().join(path)).unwrap();
    assert_eq!(read(".containerignore"), read(".dockerignore"));
    for file in ["cpu", "cuda"].map(|kind| read(&format!("deploy/containers/Containerfile.{kind}"))) {
        let lines: Vec<&str> = file.lines().collect();
        assert!(lines.contains(&"USER 65532:65532"), "{file}");
        for copied in lines.iter().filter_map(|line| line.strip_prefix("COPY LICENSE-MIT ")) {
            assert!(copied.starts_with("LICENSE-APACHE "), "{copied}");
        }
        assert!(file.trim_end().ends_with("FROM runtime"), "the default image has no models");
    }
}
