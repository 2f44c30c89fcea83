//! Helm for the chart's tests.

use crate::go::GoProgram;

/// Helm 4, built by Go.
pub(crate) const HELM: GoProgram = GoProgram {
    package: "helm.sh/helm/v4/cmd/helm@v4.3.1",
    binary: "helm",
    path: "helm/helm",
    variable: "XTASK_HELM",
};

/// What is said where there is no Go.
pub(crate) const NO_GO: &str =
    "go is not there, which builds Helm: install Go 1.26 or newer, or set XTASK_HELM to a Helm 4";
