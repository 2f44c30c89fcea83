//! How a command ends when it does not end well: one line and an exit code.

use std::io::{self, Write};

/// What the exit code says. `--help` documents these numbers: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// What none of the others says.
    Other = 1,
    /// The command line or a configuration file is wrong. Clap ends with this number too.
    Usage = 2,
    /// The input is wrong: the server refused it, or it could not be read here.
    BadInput = 3,
    /// No such model, version or method.
    NotFound = 4,
    /// The server cannot be reached, is loading, draining or overloaded.
    Unavailable = 5,
    /// The time was up.
    Deadline = 6,
    /// No credentials, or not the right ones.
    NotAllowed = 7,
    /// `serve` or `up` could not start.
    CannotServe = 8,
}

/// The end of `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done (also when the reader of stdout went away)
  1  any other failure
  2  wrong usage or configuration
  3  bad input: refused by the server, or not readable here
  4  no such model, version or method
  5  the server cannot be reached, is loading or overloaded
  6  the time was up
  7  not allowed
  8  a server could not start: port in use, no runtime, no models

Errors are one line on stderr, with the field that is wrong and the id of the request.";

/// Why a command stops, in one line for stderr.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with this exit code. The message is brought to one line.
    pub(crate) fn new(exit: Exit, message: impl AsRef<str>) -> Self {
        Self { exit, message: one_line(message.as_ref()) }
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Input that cannot be used.
    pub(crate) fn bad_input(message: impl AsRef<str>) -> Self {
        Self::new(Exit::BadInput, message)
    }

    /// A failed write to stdout. A reader that has gone away has what it wants: nothing is said then.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::said(Exit::Ok),
            _ => Self::new(Exit::Other, format!("cannot write to stdout: {error}")),
        }
    }

    /// The same, about this one of several inputs. What already begins with its name is left as it is.
    pub(crate) fn about(self, input: &str) -> Self {
        let named = format!("{} ", one_line(&format!("{input}:")));
        match self.line() {
            Some(line) if !line.starts_with(&named) => Self::new(self.exit, format!("{named}{line}")),
            _ => self,
        }
    }

    /// The same exit code after everything was said.
    pub(crate) fn said(exit: Exit) -> Self {
        Self { exit, message: String::new() }
    }

    /// Says it on stderr.
    pub(crate) fn say(&self) {
        if let Some(line) = self.line() {
            // Where stderr cannot be written to, nobody can be told that.
            let _ = writeln!(io::stderr(), "error: {line}");
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The line to print; `None` where nothing should be said.
    pub(crate) fn line(&self) -> Option<&str> {
        (!self.message.is_empty()).then_some(self.message.as_str())
    }
}

/// Text of others on one line, without what a terminal would act on.
pub(crate) fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_the_server_says() {
        let failure = Failure::bad_input("first\nsecond \u{1b}[31m red");
        assert_eq!(failure.line(), Some("first second [31m red"));
    }

    #[test]
    fn an_input_is_named_once() {
        let about = |line: &str| Failure::bad_input(line).about("a  b.png").to_string();
        assert_eq!(about("is empty"), "a b.png: is empty");
        assert_eq!(about("a  b.png: is empty"), "a b.png: is empty");
        assert_eq!(about("a  b.png is empty"), "a b.png: a b.png is empty");
        assert_eq!(Failure::said(Exit::BadInput).about("a.png").line(), None);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::stdout(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit(), failure.line()), (Exit::Ok, None));
        let failure = Failure::stdout(&io::ErrorKind::StorageFull.into());
        assert_eq!(failure.exit(), Exit::Other);
    }

    #[test]
    fn the_help_documents_every_exit_code() {
        for exit in [
            Exit::Ok,
            Exit::Other,
            Exit::Usage,
            Exit::BadInput,
            Exit::NotFound,
            Exit::Unavailable,
            Exit::Deadline,
            Exit::NotAllowed,
            Exit::CannotServe,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
