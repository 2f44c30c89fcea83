//! Prometheus' own judge.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::door::workspace;

/// The promtool that `cargo xtask test` found, or that is on the path. Where there is none, the test is left
/// out, and says so.
pub(crate) struct Promtool(PathBuf);

impl Promtool {
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("XTASK_PROMTOOL").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("promtool"));
        let promtool = named.into_iter().chain(found).find(|file| file.is_file());
        if promtool.is_none() {
            // Not by `eprintln!`, which shows nothing where a test passes.
            let missing =
                "there is no promtool on the path, and XTASK_PROMTOOL names none; it comes with Prometheus";
            let _ = writeln!(std::io::stderr(), "SKIPPED, not passed: {missing}");
        }
        promtool.map(Self)
    }

    /// Holds a scrape to the format and to the habits of names.
    pub(crate) fn check_metrics(&self, text: &str) {
        let mut child = Command::new(&self.0)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }

    /// Runs the tests of the alert rules.
    pub(crate) fn test_rules(&self) {
        let folder = workspace().join("deploy/prometheus");
        for args in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
            let output = Command::new(&self.0).args(args).current_dir(&folder).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(output.status.success(), "{args:?}: {said}");
        }
    }
}
