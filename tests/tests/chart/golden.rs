//! Everything that comes out for the shipped values, in files that a review sees.

use std::path::PathBuf;

use atelier_tests::workspace;

use crate::chart::{Helm, SHIPPED};

fn golden(values: &str) -> PathBuf {
    workspace().join("helm/tests/golden").join(values)
}

/// `UPDATE_GOLDEN=1 cargo test -p atelier-tests --test chart golden` writes the files anew.
#[test]
fn shipped_values_give_the_objects_that_were_reviewed() {
    let Some(helm) = Helm::find() else { return };
    for values in SHIPPED {
        let made = helm.text(&["--values", values, "--namespace", "models"]);
        let path = golden(values);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let reviewed = std::fs::read_to_string(&path).unwrap();
        let differs = made.lines().zip(reviewed.lines()).position(|(made, reviewed)| made != reviewed);
        assert!(
            made == reviewed,
            "{values} gives another line {:?} than {}; look at it with UPDATE_GOLDEN=1 and git diff",
            differs.map(|line| (line + 1, made.lines().nth(line))),
            path.display()
        );
    }
}

#[test]
fn helm_finds_no_fault_with_the_chart_and_any_shipped_values() {
    let Some(helm) = Helm::find() else { return };
    for values in SHIPPED {
        let output = helm.run(&["lint", ".", "--strict", "--values", values]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{values}: {said}");
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{values}: {said}");
    }
}
