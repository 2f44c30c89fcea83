//! One package on disk, checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::PackageError;
use crate::golden::Golden;
use crate::manifest::{GraphSpec, Manifest};
use crate::name::{PackageName, Version};

/// The file that describes the package.
pub const MANIFEST_FILE: &str = "package.toml";
/// The file with the inputs and outputs that a server tries before it serves.
pub const GOLDEN_FILE: &str = "golden.safetensors";

const MANIFEST_LIMIT: u64 = 1 << 20;
const GOLDEN_LIMIT: u64 = 256 << 20;
const GRAPH_LIMIT: u64 = 1 << 30;

/// A directory that was found to be a whole and undamaged package.
#[derive(Debug, Clone)]
pub struct Package {
    directory: PathBuf,
    manifest: Manifest,
    golden: Golden,
}

impl Package {
    /// Opens the package in `directory` and checks all of it: the manifest, that each graph has the bytes
    /// it speaks of, and that the golden tensors fit.
    ///
    /// Whether the ONNX graphs really have the inputs and outputs that the manifest says is for the engine
    /// to find out. What else lies in the directory is not looked at.
    pub fn open(directory: &Path) -> Result<Self, PackageError> {
        let directory = directory.canonicalize().map_err(PackageError::io(directory))?;
        let path = directory.join(MANIFEST_FILE);
        let bytes = read_plain(&directory, MANIFEST_FILE, MANIFEST_LIMIT)?;
        let text = String::from_utf8(bytes).map_err(|e| PackageError::Syntax {
            path: path.clone(),
            line: 1 + e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count(),
            message: "is not UTF-8".into(),
        })?;
        let manifest = Manifest::parse(&text, &path)?;
        let golden_path = directory.join(GOLDEN_FILE);
        let bytes = read_plain(&directory, GOLDEN_FILE, GOLDEN_LIMIT)?;
        let golden = Golden::from_bytes(&bytes)
            .map_err(|message| PackageError::Golden { path: golden_path.clone(), message })?;
        golden.check(&manifest).map_err(PackageError::field(golden_path))?;
        let package = Self { directory, manifest, golden };
        for graph in &package.manifest.graphs {
            package.read_graph(graph)?;
        }
        Ok(package)
    }

    /// The model's name.
    pub fn name(&self) -> &PackageName {
        &self.manifest.name
    }

    /// The model's version.
    pub fn version(&self) -> Version {
        self.manifest.version
    }

    /// What `package.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The golden inputs and outputs.
    pub fn golden(&self) -> &Golden {
        &self.golden
    }

    /// Where the package lies, as an absolute path.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a graph. Prefer [`Package::graph_bytes`], which cannot be exchanged after the check.
    pub fn graph_path(&self, name: &str) -> Result<PathBuf, PackageError> {
        Ok(self.directory.join(&self.graph(name)?.file))
    }

    /// The bytes of a graph, hashed once more: what the caller gets is what the manifest speaks of, even if
    /// the file was exchanged since the package was opened.
    pub fn graph_bytes(&self, name: &str) -> Result<Vec<u8>, PackageError> {
        self.read_graph(self.graph(name)?)
    }

    /// Rewrites `[metrics]` in `package.toml`, in one step: a reader sees the old file or the new one.
    ///
    /// The rest of the file keeps its meaning but not its comments.
    pub fn write_metrics(&mut self, metrics: toml::Table) -> Result<(), PackageError> {
        let path = self.directory.join(MANIFEST_FILE);
        let manifest = Manifest { metrics, ..self.manifest.clone() };
        manifest.validate().map_err(PackageError::field(&path))?;
        crate::writer::replace_file(&path, manifest.to_toml()?.as_bytes())?;
        self.manifest = manifest;
        Ok(())
    }

    fn graph(&self, name: &str) -> Result<&GraphSpec, PackageError> {
        self.manifest.graph(name).ok_or_else(|| {
            let known: Vec<&str> = self.manifest.graphs.iter().map(|g| g.name.as_str()).collect();
            PackageError::NoGraph {
                path: self.directory.join(MANIFEST_FILE),
                graph: crate::name::shorten(name),
                known: known.join(", "),
            }
        })
    }

    fn read_graph(&self, graph: &GraphSpec) -> Result<Vec<u8>, PackageError> {
        let bytes = read_plain(&self.directory, &graph.file, GRAPH_LIMIT)?;
        let actual = hex::encode(Sha256::digest(&bytes));
        if actual != graph.sha256 {
            return Err(PackageError::Hash {
                path: self.directory.join(&graph.file),
                graph: graph.name.clone(),
                expected: graph.sha256.clone(),
                actual,
            });
        }
        Ok(bytes)
    }
}

/// Reads a file that must be a plain one inside `directory`, which is canonical; a link may lead to it (as
/// in volumes that Kubernetes mounts), but not out of the directory.
fn read_plain(directory: &Path, file: &str, limit: u64) -> Result<Vec<u8>, PackageError> {
    let path = directory.join(file);
    let real = path.canonicalize().map_err(PackageError::io(&path))?;
    if !real.starts_with(directory) {
        let message = format!("leads out of the package, to {}", real.display());
        return Err(PackageError::NotPlain { path, message });
    }
    // Asked before opening: to open a named pipe would wait for its writer.
    let metadata = real.metadata().map_err(PackageError::io(&path))?;
    if !metadata.is_file() {
        return Err(PackageError::NotPlain { path, message: "is not a plain file".into() });
    }
    if metadata.len() > limit {
        return Err(PackageError::TooLarge { path, bytes: metadata.len(), limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // The length may have changed since: never more than the limit, and one byte to notice.
    File::open(&real)
        .and_then(|f| f.take(limit + 1).read_to_end(&mut bytes))
        .map_err(PackageError::io(&path))?;
    if bytes.len() as u64 > limit {
        return Err(PackageError::TooLarge { path, bytes: bytes.len() as u64, limit });
    }
    Ok(bytes)
}
