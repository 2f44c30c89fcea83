//! What is written to stdout: text as it comes, and pictures and sound only where a terminal would not show them
//! as rubbish.

use std::io::{IsTerminal, Write, stdout};

use crate::cli::failure::Failure;

/// Writes text and flushes it.
///
/// # Errors
/// A failed write; quiet where the reader has gone away.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::stdout(&e))
}

/// Writes a line of text and flushes it.
///
/// # Errors
/// As [`text`].
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Writes bytes that are no text.
///
/// # Errors
/// `Usage` where stdout is a terminal; else as [`text`].
pub(crate) fn binary(bytes: &[u8]) -> Result<(), Failure> {
    refuse_terminal()?;
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| Failure::stdout(&e))
}

/// Refuses to go on where a picture or sound would end on a terminal; asked before any work is done for it.
pub(crate) fn refuse_terminal() -> Result<(), Failure> {
    if is_terminal() {
        return Err(Failure::usage(
            "pictures and sound are not for a terminal: name a file with --output, or pipe it on",
        ));
    }
    Ok(())
}

/// Whether somebody reads along.
pub(crate) fn is_terminal() -> bool {
    stdout().is_terminal()
}
