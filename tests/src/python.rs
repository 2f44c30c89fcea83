//! The Python of the outside judges.

use std::io::Write;
use std::path::PathBuf;

/// Set by `cargo xtask test`, in which nothing may be left out.
const XTASK_TEST: &str = "XTASK_TEST";

/// The Python that `cargo xtask test` makes, with the packages of `xtask/judges.txt`. Where it was not made,
/// the test is left out, and says so; under `cargo xtask test` that is a failure.
pub fn judges() -> Option<PathBuf> {
    let python = std::env::var_os("ATELIER_PYTHON").map(PathBuf::from).filter(|python| python.exists());
    if python.is_none() {
        let missing = "ATELIER_PYTHON names no Python: `cargo xtask test` makes it in .runtime/venv";
        assert!(std::env::var_os(XTASK_TEST).is_none(), "{missing}");
        // Not by `eprintln!`, which shows nothing where a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED, not passed: {missing}");
    }
    python
}
