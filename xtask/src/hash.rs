//! The check that a downloaded file is the very one that was pinned.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Reads the file once and compares its SHA-256 with the pinned one.
///
/// # Errors
/// Where the file cannot be read, or is another: the message names file, expected and found hash.
pub(crate) fn check(file: &Path, expected: &str) -> Result<()> {
    let found = sha256(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    ensure!(
        found == expected,
        "{name} is refused: its sha256 should be {expected} and is {found}; \
         the download was damaged, or the index serves another file than the pinned one"
    );
    Ok(())
}

/// SHA-256 of a file of any size, in lower-case hexadecimal digits.
fn sha256(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
    }
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test vector for "abc" of FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_pinned_file_passes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc.whl");
        std::fs::write(&file, "abc").unwrap();
        check(&file, ABC).unwrap();
    }

    #[test]
    fn a_damaged_wheel_is_refused_naming_file_expected_and_found_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc-1.0.whl");
        std::fs::write(&file, "abd").unwrap();
        let message = format!("{:#}", check(&file, ABC).unwrap_err());
        assert!(message.contains("abc-1.0.whl"), "{message}");
        assert!(message.contains(ABC), "{message}");
        assert!(message.contains(&sha256(&file).unwrap()), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_missing_wheel_is_named() {
        let message = format!("{:#}", check(Path::new("/nowhere/abc.whl"), ABC).unwrap_err());
        assert!(message.contains("/nowhere/abc.whl"), "{message}");
    }
}
