//! A Python environment of its own for the tests' outside judges, such as the ONNX checker.

use std::path::PathBuf;

use anyhow::Result;

use crate::{layout::Layout, venv::Venv};

/// The variable that tells tests which Python has the judges.
pub(crate) const PYTHON_VAR: &str = "ATELIER_PYTHON";
/// The environment's Python, below `.runtime/`.
#[cfg(test)]
pub(crate) const PYTHON: &str = "venv/bin/python";

const JUDGES: Venv =
    Venv { folder: "venv", title: "the tests' judges", requirements: include_str!("../judges.txt") };

/// The Python that has the judges; makes the environment where it is missing or out of date.
///
/// # Errors
/// One line: Python, its venv module, pip, network or disk is missing.
pub(crate) fn python(layout: &Layout) -> Result<PathBuf> {
    JUDGES.python(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_judge_is_pinned_to_one_version() {
        assert!(JUDGES.pinned().iter().any(|line| line.starts_with("onnx==")));
    }
}
