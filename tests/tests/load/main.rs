//! `cargo xtask load` with the real ghz, against the real program.

// Clippy knows test functions, and not what they call.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use atelier_tests::{Fleet, workspace};
use serde_json::Value;

/// The ghz that `cargo xtask test` builds. Where there is none, the test is left out, and says so.
fn ghz() -> Option<PathBuf> {
    let ghz = std::env::var_os("XTASK_GHZ").map(PathBuf::from).filter(|ghz| ghz.exists());
    if ghz.is_none() {
        // Not by `eprintln!`, which shows nothing where a test passes.
        let missing = "XTASK_GHZ names no ghz: `cargo xtask load` and `cargo xtask test` build it, with Go";
        let _ = writeln!(std::io::stderr(), "SKIPPED, not passed: {missing}");
    }
    ghz
}

fn load(args: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["run", "--quiet", "--package", "xtask", "--", "load"]).args(args);
    command.output().unwrap()
}

#[test]
fn a_unary_method_and_a_stream_are_loaded_open_loop_without_an_error() {
    let Some(_) = ghz() else { return };
    let fleet = Fleet::shared();
    let (address, pid) = (fleet.address().to_string(), fleet.id().to_string());
    let only = [
        "--only",
        "codec-encode",
        "--only",
        "codec-interpolate",
        "--only",
        "inference-repository-model-load",
    ];
    let output = load(&[&["--address", &address, "--pid", &pid, "--json"], &only[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    // Other tests share the machine, so its exit code, which is also about times, is not asked for.
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let rows = figures["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["profile"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["models-list-models", "codec-encode", "codec-interpolate", "inference-repository-model-load"]
    );
    for row in rows {
        assert_eq!(row["errors"], 0, "{said}");
        assert!(
            row["p99_ms"].as_f64() >= row["p50_ms"].as_f64() && row["p50_ms"].as_f64() > Some(0.0),
            "{row}"
        );
    }
    assert_eq!(rows[1]["codes"], serde_json::json!({ "OK": 60 }), "{said}");
    assert_eq!(rows[2]["codes"], serde_json::json!({ "OK": 15 }), "{said}");
    assert_eq!(
        rows[3]["codes"],
        serde_json::json!({ "Unimplemented": 60 }),
        "a refusal that is expected: {said}"
    );
    let memory = figures["memory"]["samples"].as_array().unwrap();
    assert!(memory.len() > 10 && memory.iter().all(|bytes| bytes.as_u64() > Some(10 << 20)), "{memory:?}");
}

#[test]
fn a_fleet_that_fails_its_calls_is_not_passed() {
    let Some(_) = ghz() else { return };
    let models = atelier_tests::models::Models::new();
    models.copy("shakespeare-rnn", 1);
    let fleet = atelier_tests::Start::up(models.path()).start();
    let address = fleet.address().to_string();
    let output = load(&["--address", &address, "--only", "codec-decode"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("CROSSED: gateway (codec-decode: the part of calls in error is 1.00"), "{table}");
}

#[test]
fn a_fleet_that_is_not_there_is_one_line() {
    let Some(_) = ghz() else { return };
    let output = load(&["--address", "127.0.0.1:1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: no fleet at 127.0.0.1:1") && said.trim_end().lines().count() == 1,
        "{said}"
    );
}
