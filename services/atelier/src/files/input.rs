//! What is read: files, or stdin where the path is `-`.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// The most that is read of one input; servers take less.
const LIMIT: u64 = 64 << 20;

/// Whether a path stands for a standard stream.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The bytes of a file or of stdin.
///
/// # Errors
/// `BadInput` where it cannot be read or is larger than 64 MiB; `Usage` where stdin is a terminal, on
/// which nobody would know what is being waited for.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let wrong = |error: std::io::Error| Failure::bad_input(format!("{}: {error}", path.display()));
    if is_standard(path) {
        if stdin().is_terminal() {
            return Err(Failure::usage("nothing to read: name a file, or pipe it in"));
        }
        stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes).map_err(wrong)?;
    } else {
        File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(wrong)?;
    }
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::bad_input(format!("{}: is larger than 64 MiB", path.display())));
    }
    Ok(bytes)
}

/// The text of a file or of stdin.
///
/// # Errors
/// As [`bytes`], and `BadInput` where it is not UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::bad_input(format!("{}: is not UTF-8 text: byte {at} is not", path.display()))
    })
}

/// Refuses a list of inputs that names stdin twice: the second would be empty.
pub(crate) fn stdin_once<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    match paths.into_iter().filter(|path| is_standard(path)).count() {
        0 | 1 => Ok(()),
        _ => Err(Failure::usage("stdin (`-`) can be read once only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn a_missing_file_and_one_that_is_no_text_are_named() {
        let missing = bytes(Path::new("/nowhere/at/all.png")).unwrap_err();
        assert_eq!(missing.exit(), Exit::BadInput);
        assert!(missing.to_string().starts_with("/nowhere/at/all.png: "), "{missing}");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latin1.txt");
        std::fs::write(&path, b"caf\xe9").unwrap();
        assert!(
            text(&path).unwrap_err().to_string().ends_with("latin1.txt: is not UTF-8 text: byte 3 is not")
        );
    }

    #[test]
    fn stdin_is_read_once_only() {
        assert!(stdin_once(&["-".into(), "a.png".into()]).is_ok());
        assert_eq!(stdin_once(&["-".into(), "-".into()]).unwrap_err().exit(), Exit::Usage);
    }
}
