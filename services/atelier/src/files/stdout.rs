//! What is written to stdout: text as it comes, and pictures and sound only where a terminal would not show them
//! as rubbish.

use std::io::{IsTerminal, Write, stdout};

use crate::cli::failure::{Exit, Failure};

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

/// Passes over a failed write that only says that the reader has gone away.
///
/// # Errors
/// Any other failure.
pub(crate) fn unread(failure: Failure) -> Result<(), Failure> {
    if failure.exit() == Exit::Ok { Ok(()) } else { Err(failure) }
}

/// What a command says on stdout of its work. Where it writes files too, a reader that goes away ends what is
/// said, and not the work.
#[derive(Debug)]
pub(crate) struct Remarks {
    files: bool,
    unread: bool,
}

impl Remarks {
    /// Of a command that writes files too, or does not.
    pub(crate) fn new(files: bool) -> Self {
        Self { files, unread: false }
    }

    /// Writes text and flushes it, while somebody reads it.
    ///
    /// # Errors
    /// As [`text`]; where files are written too, not for a reader that has gone away.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.unread {
            return Ok(());
        }
        let written = self::text(text);
        if !self.files {
            return written;
        }
        self.unread = written.is_err();
        written.or_else(unread)
    }

    /// Writes a line of text and flushes it, while somebody reads it.
    ///
    /// # Errors
    /// As [`Remarks::text`].
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }
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
