//! Where pictures go.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::input::is_standard;
use super::{stdout, whole};
use crate::cli::failure::{Exit, Failure};

/// Where pictures go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// One picture, to stdout.
    Stdout,
    /// One picture, to this file.
    File(PathBuf),
    /// Each picture to a file of its own in this directory.
    Directory(PathBuf),
}

impl Destination {
    /// Where `pictures` pictures go when the user says `output`. A directory is meant by an existing one,
    /// a `/` at the end, or by more than one picture.
    ///
    /// # Errors
    /// `Usage`: several pictures to stdout, or a file name of another format than PNG.
    pub(crate) fn of(output: &Path, pictures: usize) -> Result<Self, Failure> {
        let text = output.as_os_str().as_encoded_bytes();
        if is_standard(output) {
            return match pictures {
                1 => Ok(Self::Stdout),
                _ => Err(Failure::usage(format!(
                    "{pictures} pictures do not go to stdout: name a directory with --output, or make one \
                     picture of them with --grid"
                ))),
            };
        }
        if pictures != 1 || text.ends_with(b"/") || output.is_dir() {
            if output.is_file() {
                let message = format!(
                    "--output: {} is a file, and {pictures} pictures need a directory",
                    output.display()
                );
                return Err(Failure::usage(message));
            }
            return Ok(Self::Directory(output.to_owned()));
        }
        match output.extension() {
            Some(extension) if !extension.eq_ignore_ascii_case("png") => Err(Failure::usage(format!(
                "--output: pictures are written as PNG, so {} must end in .png",
                output.display()
            ))),
            _ => Ok(Self::File(output.to_owned())),
        }
    }

    /// As [`Destination::of`] and [`Destination::prepare`], for pictures of these names that another option
    /// than `--output` says where to put.
    ///
    /// # Errors
    /// As theirs, naming the option.
    pub(crate) fn open(
        option: &str,
        path: &Path,
        names: &[String],
        inputs: &[PathBuf],
    ) -> Result<Self, Failure> {
        if is_standard(path) && names.len() != 1 {
            let message = format!("{option}: {} pictures do not go to stdout: name a directory", names.len());
            return Err(Failure::usage(message));
        }
        let named = |f: Failure| Failure::new(f.exit(), f.to_string().replace("--output", option));
        let destination = Self::of(path, names.len()).map_err(named)?;
        destination.prepare(names, inputs).map_err(named)?;
        Ok(destination)
    }

    /// Makes sure of it before work is done: that stdout is no terminal, that the directory exists (one for
    /// several pictures is made), and that no input would be overwritten.
    ///
    /// # Errors
    /// `Usage`, or `Other` where there is no directory, or it cannot be made.
    pub(crate) fn prepare(&self, names: &[String], inputs: &[PathBuf]) -> Result<(), Failure> {
        match self {
            Self::Stdout => stdout::refuse_terminal(),
            Self::File(path) => whole::prepare(path, inputs),
            Self::Directory(path) => {
                std::fs::create_dir_all(path)
                    .map_err(|e| Failure::new(Exit::Other, format!("{}: {e}", path.display())))?;
                whole::spare(inputs, names.iter().map(|name| path.join(name)))
            }
        }
    }

    /// Whether one of `names` here is one of `others` there, however the places are spelled. Asked of prepared
    /// ones: a directory is told from another only where it is.
    pub(crate) fn meets(&self, names: &[String], there: &Self, others: &[String]) -> bool {
        let places = |destination: &Self, names: &[String]| -> HashSet<PathBuf> {
            names.iter().filter_map(|name| destination.path(name)).map(|path| whole::place(&path)).collect()
        };
        match (self, there) {
            (Self::Stdout, Self::Stdout) => true,
            _ => !places(self, names).is_disjoint(&places(there, others)),
        }
    }

    /// The file that a picture of this name goes to; none for stdout.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Stdout => None,
            Self::File(path) => Some(path.clone()),
            Self::Directory(path) => Some(path.join(name)),
        }
    }

    /// Writes a picture. That nobody reads the one that goes to stdout stops nothing: files may be still to come.
    ///
    /// # Errors
    /// `Other` where the file cannot be written; for stdout see [`stdout::binary`].
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        match self.path(name) {
            None => stdout::binary(bytes).or_else(stdout::unread),
            Some(path) => whole::write(&path, bytes),
        }
    }
}

/// A file name for each input: its stem and `.png`, with a number where two would be the same.
pub(crate) fn names(inputs: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut name = |path: &PathBuf| {
        let stem = match path.file_stem() {
            Some(stem) if !is_standard(path) => stem.to_string_lossy().into_owned(),
            _ => "stdin".to_owned(),
        };
        let first = format!("{stem}.png");
        let numbered = (2_usize..).map(|n| format!("{stem}-{n}.png"));
        let free = std::iter::once(first).chain(numbered).find(|name| !taken.contains(name));
        let name = free.unwrap_or(stem);
        taken.insert(name.clone());
        name
    };
    inputs.iter().map(&mut name).collect()
}

/// `frame-000.png`, `frame-001.png` …: as many digits as keep them in order.
pub(crate) fn numbered(stem: &str, count: usize) -> Vec<String> {
    let digits = count.saturating_sub(1).to_string().len().max(3);
    (0..count).map(|i| format!("{stem}-{i:0digits$}.png")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_goes_to_stdout_or_a_file_and_several_to_a_directory() {
        let of = |output: &str, pictures| Destination::of(Path::new(output), pictures);
        assert_eq!(of("-", 1), Ok(Destination::Stdout));
        assert_eq!(of("a.png", 1), Ok(Destination::File("a.png".into())));
        assert_eq!(of("out/", 1), Ok(Destination::Directory("out/".into())));
        assert_eq!(of("out", 2), Ok(Destination::Directory("out".into())));
        assert_eq!(of("-", 2).unwrap_err().exit(), Exit::Usage);
        assert!(of("a.jpg", 1).unwrap_err().to_string().contains("must end in .png"));
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            Destination::of(directory.path(), 1),
            Ok(Destination::Directory(directory.path().to_owned()))
        );
    }

    #[test]
    fn inputs_of_one_name_get_files_of_their_own() {
        let inputs: Vec<PathBuf> = ["a/x.png", "b/x.jpg", "-", "x-2.png"].map(Into::into).into();
        assert_eq!(names(&inputs), ["x.png", "x-2.png", "stdin.png", "x-2-2.png"]);
        assert_eq!(numbered("frame", 2), ["frame-000.png", "frame-001.png"]);
        assert_eq!(numbered("frame", 1001).last().unwrap(), "frame-1000.png");
    }

    #[test]
    fn an_input_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("x.png");
        std::fs::write(&input, b"mine").unwrap();
        let destination = Destination::Directory(directory.path().to_owned());
        let refused = destination
            .prepare(&names(std::slice::from_ref(&input)), std::slice::from_ref(&input))
            .unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("x.png"), "{refused}");
    }

    #[test]
    fn a_file_without_a_directory_is_refused_before_work_is_done() {
        let refused = Destination::File("/nowhere/at/all.png".into()).prepare(&[], &[]).unwrap_err();
        assert_eq!(refused.exit(), Exit::Other);
        assert!(refused.to_string().starts_with("/nowhere/at: is no directory"), "{refused}");
    }

    #[test]
    fn places_meet_where_a_picture_of_one_is_one_of_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("o")).unwrap();
        let names = ["x.png".to_owned()];
        let file = |name: &str| Destination::File(path(name));
        let folder = |name: &str| Destination::Directory(path(name));
        for (one, other, meet) in [
            (folder("o"), folder("./o"), true),
            (folder("o"), folder("."), false),
            (folder("o"), file("o/x.png"), true),
            (folder("o"), file("o/y.png"), false),
            (file("y.png"), file("o/../y.png"), true),
            (Destination::Stdout, Destination::Stdout, true),
            (Destination::Stdout, file("y.png"), false),
        ] {
            assert_eq!(one.meets(&names, &other, &names), meet, "{one:?} and {other:?}");
        }
    }
}
