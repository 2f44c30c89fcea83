//! Writes packages, each whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::PackageError;
use crate::golden::Golden;
use crate::manifest::Manifest;
use crate::package::{GOLDEN_FILE, MANIFEST_FILE, Package};

/// What to do where there is such a version already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail.
    Refuse,
    /// Put the new one in its place.
    Replace,
}

/// A package to be written: a manifest, its graphs and its golden tensors.
#[derive(Debug, Clone)]
pub struct PackageWriter {
    manifest: Manifest,
    graphs: BTreeMap<String, Vec<u8>>,
    golden: Golden,
}

impl PackageWriter {
    /// Begins a package. The `sha256` of each graph in `manifest` is filled in by
    /// [`graph`](PackageWriter::graph).
    pub fn new(manifest: Manifest, golden: Golden) -> Self {
        Self { manifest, graphs: BTreeMap::new(), golden }
    }

    /// Adds the ONNX bytes of the graph called `name`.
    #[must_use]
    pub fn graph(mut self, name: impl Into<String>, onnx: Vec<u8>) -> Self {
        let name = name.into();
        if let Some(spec) = self.manifest.graphs.iter_mut().find(|g| g.name == name) {
            spec.sha256 = hex::encode(Sha256::digest(&onnx));
        }
        self.graphs.insert(name, onnx);
        self
    }

    /// Writes the package to `directory` (`models/NAME/VERSION`) and opens it. Parents are made as needed.
    ///
    /// Everything is written to a hidden directory beside it, checked there as a server would, and then
    /// renamed: nobody ever sees half of a package.
    pub fn write(&self, directory: &Path, existing: Existing) -> Result<Package, PackageError> {
        let manifest_path = directory.join(MANIFEST_FILE);
        self.manifest.validate().map_err(PackageError::field(&manifest_path))?;
        if let Some(name) = self.graphs.keys().find(|n| self.manifest.graph(n).is_none()) {
            return Err(PackageError::Field {
                path: manifest_path,
                field: format!("graph.{name}"),
                message: "was given to the writer, but is not in the manifest".into(),
            });
        }
        if existing == Existing::Refuse && directory.symlink_metadata().is_ok() {
            return Err(PackageError::Exists { path: directory.into() });
        }
        let parent = match directory.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(PackageError::io(&parent))?;
        let beside = |what: &str| {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            parent.join(format!(".{name}.{what}-{}", std::process::id()))
        };
        let (fresh, old) = (beside("new"), beside("old"));
        let written = self.write_files(&fresh).and_then(|()| Package::open(&fresh)).and_then(|_| {
            let replaced = directory.symlink_metadata().is_ok();
            if replaced {
                fs::rename(directory, &old).map_err(PackageError::io(directory))?;
            }
            fs::rename(&fresh, directory).map_err(PackageError::io(directory)).inspect_err(|_| {
                if replaced {
                    // Best effort: the error that is returned says more than this one would.
                    let _ = fs::rename(&old, directory);
                }
            })
        });
        // What is left of either is rubbish, whether or not it can be swept away.
        let _ = fs::remove_dir_all(&fresh);
        let _ = fs::remove_dir_all(&old);
        written.and_then(|()| Package::open(directory))
    }

    fn write_files(&self, directory: &Path) -> Result<(), PackageError> {
        // Left over from a process of the same id that died.
        let _ = fs::remove_dir_all(directory);
        fs::create_dir(directory).map_err(PackageError::io(directory))?;
        for graph in &self.manifest.graphs {
            let path = directory.join(&graph.file);
            let onnx = self.graphs.get(&graph.name).ok_or_else(|| PackageError::Field {
                path: path.clone(),
                field: format!("graph.{}", graph.name),
                message: "the manifest has this graph, but the writer was given no bytes for it".into(),
            })?;
            write_file(&path, onnx)?;
        }
        let path = directory.join(GOLDEN_FILE);
        let golden =
            self.golden.to_bytes().map_err(|message| PackageError::Golden { path: path.clone(), message })?;
        write_file(&path, &golden)?;
        write_file(&directory.join(MANIFEST_FILE), self.manifest.to_toml()?.as_bytes())
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    fs::File::create(path)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .map_err(PackageError::io(path))
}

/// Exchanges the content of a file in one step.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new-{}", std::process::id()));
    let result =
        write_file(&fresh, bytes).and_then(|()| fs::rename(&fresh, path).map_err(PackageError::io(path)));
    if result.is_err() {
        // The file is ours and half-written; the error above is the one to tell.
        let _ = fs::remove_file(&fresh);
    }
    result
}
