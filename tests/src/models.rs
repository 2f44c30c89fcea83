//! The shipped packages, and copies of them to be damaged.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::shipped;

/// The names of the shipped models, sorted.
pub fn names() -> Vec<String> {
    let entries = shipped().read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a refusal of an unknown version of a shipped model says that there is.
pub fn versions(name: &str) -> String {
    let entries = shipped().join(name).read_dir().unwrap();
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().parse().ok()).collect();
    versions.sort_unstable();
    let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
    format!("there is: {}", versions.join(", "))
}

/// The newest version of a shipped model, by what its `package.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Shipped {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its kind.
    pub kind: String,
    /// All that is said.
    pub manifest: toml::Table,
}

impl Shipped {
    /// The role that serves it.
    pub fn role(&self) -> &'static str {
        match self.kind.as_str() {
            "gan" | "ager" => "image",
            "wavenet" => "audio",
            "char-rnn" => "text",
            "onnx" => "tensor",
            _ => "codec",
        }
    }

    /// The names of its graphs.
    pub fn graphs(&self) -> Vec<String> {
        let graphs = self.manifest["graph"].as_array().unwrap();
        graphs.iter().map(|graph| graph["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of its classes; none where it knows none.
    pub fn labels(&self) -> Vec<String> {
        let labels = self.manifest.get("labels").and_then(|labels| labels["names"].as_array());
        labels.into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// The range of an input of one of its graphs, where it has such.
    pub fn range(&self, graph: &str, input: &str) -> Option<[f64; 2]> {
        let named = |name: &str| {
            let name = name.to_owned();
            move |table: &&toml::Value| table["name"].as_str() == Some(&name)
        };
        let graph = self.manifest["graph"].as_array().unwrap().iter().find(named(graph))?;
        let range =
            graph["inputs"].as_array().unwrap().iter().find(named(input))?.get("range")?.as_array()?;
        let end = |at: usize| range[at].as_float().or(range[at].as_integer().map(|n| n as f64));
        Some([end(0)?, end(1)?])
    }
}

/// The newest version of every shipped model, sorted by role and name as the fleet lists them.
pub fn all() -> Vec<Shipped> {
    let newest = |name: String| {
        let versions = shipped().join(&name).read_dir().unwrap();
        let version = versions.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).max();
        let version: u32 = version.unwrap_or_else(|| panic!("{name} has no version"));
        let path = shipped().join(&name).join(version.to_string()).join("package.toml");
        let manifest: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        Shipped { name, version, kind: manifest["kind"].as_str().unwrap().to_owned(), manifest }
    };
    let mut all: Vec<Shipped> = names().into_iter().map(newest).collect();
    all.sort_by(|a, b| (a.role(), &a.name).cmp(&(b.role(), &b.name)));
    all
}

/// The shipped models of a kind, the default first. At least one: for none, a test of each would pass.
pub fn of_kind(kind: &str) -> Vec<Shipped> {
    let models: Vec<Shipped> = all().into_iter().filter(|model| model.kind == kind).collect();
    assert!(!models.is_empty(), "no model of kind {kind} is shipped");
    models
}

/// A directory of packages.
#[derive(Debug)]
pub struct Models {
    directory: TempDir,
}

impl Default for Models {
    fn default() -> Self {
        Self::new()
    }
}

impl Models {
    /// No packages yet.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Copies the newest version of a shipped model here, under this version; its directory.
    pub fn copy(&self, name: &str, version: u32) -> PathBuf {
        let versions = shipped().join(name).read_dir().unwrap();
        let newest = versions
            .max_by_key(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().parse::<u32>().ok());
        let to = self.path().join(name).join(version.to_string());
        std::fs::create_dir_all(&to).unwrap();
        for file in newest.unwrap().unwrap().path().read_dir().unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
        let manifest = std::fs::read_to_string(to.join("package.toml")).unwrap();
        let lines = manifest.lines().map(|line| match line.starts_with("version = ") {
            true => format!("version = {version}\n"),
            false => format!("{line}\n"),
        });
        std::fs::write(to.join("package.toml"), lines.collect::<String>()).unwrap();
        to
    }
}

/// Changes the bytes of a file.
pub fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

/// Replaces a text in a package's manifest, which must be there.
pub fn edit(package: &Path, from: &str, to: &str) {
    let file = package.join("package.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

/// Adds to the first value of a tensor in `golden.safetensors`.
pub fn falsify(package: &Path, tensor: &str, by: f32) {
    change(&package.join("golden.safetensors"), |bytes| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let start = header[tensor]["data_offsets"][0].as_u64();
        let start = 8 + length + start.unwrap_or_else(|| panic!("no {tensor} in {header}")) as usize;
        let value = f32::from_le_bytes(bytes[start..start + 4].try_into().unwrap()) + by;
        bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
    });
}
