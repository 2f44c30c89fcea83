//! Files that are written whole: what was there before stays until all that is new is there.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::failure::{Exit, Failure};

/// Makes sure, before work is done for it, of a file that `--output` names: that it is no directory and has one to
/// lie in, and that no input would be overwritten.
///
/// # Errors
/// `Usage`, or `Other` where there is no directory for it.
pub(crate) fn prepare(path: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
    if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let message = format!("--output: {} is a directory, and a file is needed", path.display());
        return Err(Failure::usage(message));
    }
    let parent = parent(path);
    if !parent.is_dir() {
        let message =
            format!("{}: is no directory, and {} would lie in it", parent.display(), path.display());
        return Err(Failure::new(Exit::Other, message));
    }
    spare(inputs, [path.to_owned()])
}

/// Refuses to overwrite an input.
///
/// # Errors
/// `Usage`, naming it.
pub(crate) fn spare(inputs: &[PathBuf], files: impl IntoIterator<Item = PathBuf>) -> Result<(), Failure> {
    let inputs: HashSet<PathBuf> = inputs.iter().filter_map(|path| path.canonicalize().ok()).collect();
    for file in files {
        if let Some(same) = file.canonicalize().ok().filter(|file| inputs.contains(file)) {
            let message = format!("--output: would overwrite the input {}", same.display());
            return Err(Failure::usage(message));
        }
    }
    Ok(())
}

/// The one name of a file that may have many: without links and dots, as far as there is something already.
pub(crate) fn place(path: &Path) -> PathBuf {
    let beside = || Some(parent(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

/// The directory that a file lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file.
///
/// # Errors
/// `Other`, naming the file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(path, bytes).map_err(|e| failed(path, &e))
}

/// A failed write to a file.
pub(crate) fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("{}: {error}", path.display()))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let before = match fs::metadata(path) {
        Ok(before) if before.is_file() => Some(before),
        // Into a pipe or a device, and through a link to what is not there yet.
        Ok(_) => return fs::write(path, bytes),
        Err(_) if path.is_symlink() => return fs::write(path, bytes),
        Err(_) => None,
    };
    if before.is_some() {
        // What may not be written to may not be replaced either.
        OpenOptions::new().write(true).open(path)?;
    }
    // A link stays one.
    let path = place(path);
    let mut fresh = OsString::from(".");
    fresh.push(path.file_name().unwrap_or_default());
    fresh.push(format!(".new-{}", std::process::id()));
    let fresh = path.with_file_name(fresh);
    let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&fresh) else {
        // The directory takes no other file: then as well as can be.
        return fs::write(path, bytes);
    };
    let written = file
        .write_all(bytes)
        .and_then(|()| before.map_or(Ok(()), |before| file.set_permissions(before.permissions())))
        .and_then(|()| fs::rename(&fresh, &path));
    if written.is_err() {
        // It is ours and of no use; the error to tell is that of writing.
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_is_refused_before_work_is_done_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let input = path("in.json");
        fs::write(&input, "mine").unwrap();
        let inputs = [input.clone()];
        assert_eq!(prepare(&path("out.json"), &inputs), Ok(()));
        for (output, exit, words) in [
            (path("no/out.json"), Exit::Other, "/no: is no directory"),
            (path("in.json/out.json"), Exit::Other, "/in.json: is no directory"),
            (path("out/"), Exit::Usage, "a file is needed"),
            (path("."), Exit::Usage, "a file is needed"),
            (path("./in.json"), Exit::Usage, "would overwrite the input"),
        ] {
            let refused = prepare(&output, &inputs).unwrap_err();
            assert_eq!(refused.exit(), exit, "{refused}");
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }

    #[test]
    fn many_names_of_a_file_are_one_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("o")).unwrap();
        assert_eq!(place(&path("o/new.png")), place(&path("./o/../o/new.png")));
        assert_ne!(place(&path("o/new.png")), place(&path("new.png")));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_replaced_in_one_step_and_a_link_stays_one() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("old"), "before").unwrap();
        fs::set_permissions(path("old"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(path("old"), path("link")).unwrap();
        let reader = fs::File::open(path("old")).unwrap();
        write(&path("link"), b"after").unwrap();
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "before",
            "who reads the former file reads all of it"
        );
        assert_eq!(fs::read(path("old")).unwrap(), b"after");
        assert!(path("link").is_symlink());
        assert_eq!(fs::metadata(path("old")).unwrap().mode() & 0o777, 0o600, "as secret as it was");
        write(&path("new"), b"new").unwrap();
        fs::write(path("plain"), "new").unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().mode();
        assert_eq!(mode("new"), mode("plain"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "nothing else is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        use std::os::unix::fs::{FileTypeExt, symlink};

        write(Path::new("/dev/null"), b"nothing").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (directory.path().join("link"), directory.path().join("target"));
        symlink(&target, &link).unwrap();
        write(&link, b"through").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(target).unwrap(), b"through");
    }
}
