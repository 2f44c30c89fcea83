//! Shell completions.

use clap::ValueEnum;

use super::failure::{Exit, Failure};
use crate::files::stdout;

/// The shells that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// `source <(atelier completions bash)`
    Bash,
    /// `source <(atelier completions zsh)`
    Zsh,
    /// `atelier completions fish | source`
    Fish,
}

/// Prints the completions of a command line.
///
/// # Errors
/// A failed write to stdout.
pub(crate) fn print(shell: Shell, command: &mut clap::Command) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: clap panics when stdout is gone.
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "atelier", &mut script);
    let script = String::from_utf8(script)
        .map_err(|_| Failure::new(Exit::Other, "the completions are not UTF-8, a fault of ours"))?;
    stdout::text(&script)
}
