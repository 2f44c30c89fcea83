//! That the benchmark measures, whatever the figures: in a fraction of a second each they say nothing of how fast
//! anything is.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use atelier_tests::models::Models;
use atelier_tests::program::atelier;
use serde_json::Value;

/// What measures at the same time takes the cores from each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Measures these groups with copies of these models; whether that went well, what was said, and the report.
fn measured(groups: &[&str], seconds: &str, names: &[&str]) -> (bool, String, Value) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let models = Models::new();
    for name in names {
        models.copy(name, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier-bench"));
    command.args(groups).args(["--rounds", "1", "--most", "8", "--seconds", seconds]);
    command.arg("--program").arg(atelier().get_program()).arg("--models").arg(models.path());
    let output = command.arg("--json").arg(&report).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = std::fs::read(&report).unwrap_or_default();
    (output.status.success(), said, serde_json::from_slice(&report).unwrap_or_default())
}

/// The titles of a report's tables, and how many rows each has, all of whose cells are there.
fn rows(report: &Value) -> Vec<(&str, usize)> {
    let whole = |table: &Value| {
        let rows = table["rows"].as_array().unwrap();
        for row in rows {
            let cells = row.as_array().unwrap();
            assert_eq!(cells.len(), table["columns"].as_array().unwrap().len(), "{row}");
            // A figure that is not finite is written as null.
            assert!(cells.iter().all(|cell| cell.is_string() || cell.is_number()), "{row}");
        }
        rows.len()
    };
    let tables = report["tables"].as_array().into_iter().flatten();
    tables.map(|table| (table["title"].as_str().unwrap(), whole(table))).collect()
}

#[test]
fn every_table_has_a_row_for_each_thing_and_every_figure_is_finite() {
    let models = ["fashion-dcgan", "fashion-vae", "shakespeare-rnn", "digits-wavenet"];
    let (well, said, report) = measured(&["limit", "streams", "parity"], "0.2", &models);
    assert!(well, "{said}");
    // Two graphs, 1 and 8 callers, three doors; text and audio, 1 and 8 streams; the graphs of the four models.
    assert_eq!(rows(&report), [("Against the limit", 12), ("Streams", 4), ("Batching equals single", 7)]);
}

#[test]
fn what_cannot_be_measured_is_said_and_what_comes_after_it_is_measured_all_the_same() {
    // There is nothing for the role `codec`, which parity needs.
    let (well, said, report) = measured(&["parity", "overload"], "0.1", &["fashion-dcgan"]);
    assert!(!well && said.contains("error: not measured: parity"), "{said}");
    assert_eq!(rows(&report), [("Overload", 4)], "{said}");
}
