//! A tree of packages: `NAME/VERSION/package.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::PackageError;
use crate::name::{PackageName, Version};
use crate::package::{MANIFEST_FILE, Package};

/// A directory that looked like a package and is none.
#[derive(Debug)]
pub struct Rejected {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    pub error: PackageError,
}

/// The packages of a directory, and what was set aside.
#[derive(Debug, Default)]
pub struct Repository {
    packages: BTreeMap<PackageName, BTreeMap<Version, Package>>,
    rejected: Vec<Rejected>,
}

impl Repository {
    /// Opens every `NAME/VERSION` below `directory`. A bad package does not hide the good ones: it is kept
    /// in [`Repository::rejected`] with the reason. Fails only if `directory` itself cannot be read.
    ///
    /// Plain files and names that begin with a dot are passed over.
    pub fn scan(directory: &Path) -> Result<Self, PackageError> {
        let mut repository = Self::default();
        for (path, file_name) in directories(directory)? {
            let name = match file_name.parse::<PackageName>() {
                Ok(name) => name,
                Err(e) => {
                    repository.reject(path.clone(), not_plain(path, e.to_string()));
                    continue;
                }
            };
            match directories(&path) {
                Ok(versions) => {
                    for (path, file_name) in versions {
                        match open(&path, &name, &file_name) {
                            Ok(p) => {
                                repository.packages.entry(name.clone()).or_default().insert(p.version(), p);
                            }
                            Err(e) => repository.reject(path, e),
                        }
                    }
                }
                Err(e) => repository.reject(path, e),
            }
        }
        Ok(repository)
    }

    /// Opens one version of one package below `directory`, as [`scan`](Self::scan) would.
    pub fn open(directory: &Path, name: &PackageName, version: Version) -> Result<Package, PackageError> {
        let file_name = version.to_string();
        open(&directory.join(name.as_str()).join(&file_name), name, &file_name)
    }

    /// The newest good version of each model, by name.
    pub fn latest(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter_map(|versions| versions.values().next_back())
    }

    /// Every good version of every model, by name, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().flat_map(BTreeMap::values)
    }

    /// One version of a model; without a version the newest good one.
    pub fn get(&self, name: &PackageName, version: Option<Version>) -> Option<&Package> {
        let versions = self.packages.get(name)?;
        match version {
            Some(version) => versions.get(&version),
            None => versions.values().next_back(),
        }
    }

    /// What was set aside, in the order of the paths.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    fn reject(&mut self, path: PathBuf, error: PackageError) {
        self.rejected.push(Rejected { path, error });
    }
}

fn open(path: &Path, name: &PackageName, file_name: &str) -> Result<Package, PackageError> {
    let version = file_name.parse::<Version>().map_err(|e| not_plain(path.into(), e.to_string()))?;
    let package = Package::open(path)?;
    let wrong = |field: &str, says: String, lies: String| PackageError::Field {
        path: path.join(MANIFEST_FILE),
        field: field.into(),
        message: format!("is `{says}`, but the directory is called `{lies}`"),
    };
    if package.name() != name {
        return Err(wrong("name", package.name().to_string(), name.to_string()));
    }
    if package.version() != version {
        return Err(wrong("version", package.version().to_string(), version.to_string()));
    }
    Ok(package)
}

fn not_plain(path: PathBuf, message: String) -> PackageError {
    PackageError::NotPlain { path, message }
}

fn directories(path: &Path) -> Result<Vec<(PathBuf, String)>, PackageError> {
    let mut found = Vec::new();
    for entry in path.read_dir().map_err(PackageError::io(path))? {
        let entry = entry.map_err(PackageError::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            found.push((entry.path(), name));
        }
    }
    found.sort();
    Ok(found)
}
