//! The names of metrics that the files for operators use.

use std::fs;
use std::path::Path;

use crate::door::workspace;

/// Every name of a metric of ours in the alert rules, the dashboards and the README, with its file.
pub(crate) fn used() -> Vec<(String, String)> {
    let rules = workspace().join("deploy/prometheus/rules.yaml");
    let boards = fs::read_dir(workspace().join("deploy/grafana")).unwrap();
    let boards = boards
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut found = Vec::new();
    for path in boards.chain([rules]) {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "json") {
            let board: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(board["panels"].as_array().is_some_and(|panels| !panels.is_empty()), "{file}");
        }
        let mut own = names_in(&text);
        assert!(!own.is_empty(), "{file} uses no metric");
        own.sort();
        own.dedup();
        found.extend(own.into_iter().map(|name| (name, file.clone())));
    }
    found
}

/// The README.
pub(crate) fn readme() -> String {
    fs::read_to_string(Path::new(workspace()).join("README.md")).unwrap()
}

/// Words that begin as names of ours, and recorded series, `a:b`, which are none.
fn names_in(text: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !word(c));
    let ours = words.filter(|w| w.starts_with("atelier_") || w.starts_with("process_"));
    ours.filter(|w| !w.contains(':')).map(str::to_owned).collect()
}
