//! ghz, which loads the fleet from outside.

use crate::go::GoProgram;

/// ghz, built by Go.
pub(crate) const GHZ: GoProgram = GoProgram {
    package: "github.com/bojand/ghz/cmd/ghz@v0.121.0",
    binary: "ghz",
    path: "ghz/ghz",
    variable: "XTASK_GHZ",
};

/// What is said where there is no Go.
pub(crate) const NO_GO: &str =
    "go is not there, which builds ghz: install Go 1.24 or newer, or set XTASK_GHZ to a ghz";
