use std::cell::Cell;

use super::*;
use crate::{unpack, wheel::Python};

const PICKS: &[Pick] = &[Pick::File { from: "pkg/liba.so", to: "lib/liba.so" }];

/// Hands out one file under the wheel's name and counts how often.
struct Shelf {
    file: PathBuf,
    asked: Cell<usize>,
}

impl Shelf {
    fn with(file: PathBuf) -> Self {
        Self { file, asked: Cell::new(0) }
    }
}

impl Download for Shelf {
    fn download(&self, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
        self.asked.set(self.asked.get() + 1);
        let target = folder.join(format!("{}-{}.whl", wheel.project, wheel.version));
        fs::copy(&self.file, &target)?;
        Ok(target)
    }
}

fn wheel_file(folder: &Path, name: &str, content: &str) -> (PathBuf, &'static str) {
    let file = folder.join(name);
    unpack::tests::wheel(&file, &[("pkg/liba.so", content)]);
    let bytes = fs::read(&file).unwrap();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    (file, hash.leak())
}

fn part(sha256: &'static str) -> Part<'static> {
    let wheel = Wheel { project: "a", version: "1", python: Python::Py3, platform: "any", sha256 };
    Part { wheel, picks: PICKS }
}

fn bundle<'a>(parts: &'a [Part<'a>]) -> Bundle<'a> {
    Bundle { title: "library a", folder: "a", megabytes: 7, parts }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_second_install_downloads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let (file, hash) = wheel_file(folder.path(), "a.whl", "one");
    let shelf = Shelf::with(file);
    let parts = [part(hash)];
    for _ in 0..2 {
        let place = bundle(&parts).install(&root, &shelf).unwrap();
        assert_eq!(fs::read_to_string(place.join("lib/liba.so")).unwrap(), "one");
    }
    assert_eq!(shelf.asked.get(), 1);
    // Neither wheels nor staging folders stay behind.
    assert_eq!(entries(&root), [".lock", "a"]);
}

#[test]
fn a_damaged_wheel_is_refused_and_what_was_installed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let (good, hash) = wheel_file(folder.path(), "good.whl", "one");
    let old = [part(hash)];
    bundle(&old).install(&root, &Shelf::with(good)).unwrap();

    let (damaged, found) = wheel_file(folder.path(), "damaged.whl", "two");
    let wanted = "0".repeat(64).leak();
    let new = [part(wanted)];
    let message = format!("{:#}", bundle(&new).install(&root, &Shelf::with(damaged)).unwrap_err());
    for expected in ["library a", "a-1.whl", wanted, found] {
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(fs::read_to_string(root.join("a/lib/liba.so")).unwrap(), "one");
    assert_eq!(entries(&root), [".lock", "a"]);
}

#[test]
fn what_an_interrupted_install_left_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join(".staging-killed/0")).unwrap();
    fs::write(root.join(".staging-killed/0/half.whl"), "half").unwrap();
    let (file, hash) = wheel_file(folder.path(), "a.whl", "one");
    bundle(&[part(hash)]).install(&root, &Shelf::with(file)).unwrap();
    assert_eq!(entries(&root), [".lock", "a"]);
}

#[test]
fn a_new_pin_replaces_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for content in ["one", "two"] {
        let (file, hash) = wheel_file(folder.path(), content, content);
        let parts = [part(hash)];
        let place = bundle(&parts).install(&root, &Shelf::with(file)).unwrap();
        assert_eq!(fs::read_to_string(place.join("lib/liba.so")).unwrap(), content);
    }
}

#[test]
fn a_folder_that_lost_a_file_is_installed_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let (file, hash) = wheel_file(folder.path(), "a.whl", "one");
    let shelf = Shelf::with(file);
    let parts = [part(hash)];
    let place = bundle(&parts).install(&root, &shelf).unwrap();
    fs::remove_file(place.join("lib/liba.so")).unwrap();
    bundle(&parts).install(&root, &shelf).unwrap();
    assert!(place.join("lib/liba.so").exists());
}
