//! `atelier import`: a package out of any ONNX file.

use std::path::{Path, PathBuf};

use atelier_engine::{EngineError, Runtime, import};
use atelier_package::{
    Existing, Golden, GraphSpec, Kind, Manifest, Package, PackageError, PackageName, PackageWriter,
    TensorSpec, Version,
};
use clap::ValueHint;

use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

/// The graph of a package that was imported, and its file.
const GRAPH: &str = "graph";
const FILE: &str = "graph.onnx";

/// What to make a package of, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Import {
    /// The ONNX file, with its weights inside
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What the model is to be called: a-z, 0-9 and '-'
    #[arg(long, value_name = "NAME")]
    name: PackageName,
    /// Which version of it this is [default: the one after the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// The directory of packages
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "models")]
    models: PathBuf,
    /// The size of a dimension that the graph leaves open, as in height=224; may be given several times
    #[arg(long, value_name = "DIMENSION=SIZE", value_parser = fixed)]
    fix: Vec<(String, usize)>,
    /// One line on what it does
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// The licence of its weights
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    licence: String,
    /// What it was trained on
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    data: String,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

fn fixed(text: &str) -> Result<(String, usize), String> {
    let size = |size: &str| size.parse().ok().filter(|size| (1..=1 << 20).contains(size));
    let split = text.rsplit_once('=').and_then(|(name, n)| Some((name.to_owned(), size(n)?)));
    split
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "must be DIMENSION=SIZE, as in height=224".into())
}

impl Import {
    /// Tries the graph and writes the package.
    ///
    /// # Errors
    /// `BadInput` for a file that cannot be read or served, `Usage` for a dimension that there is not,
    /// `CannotServe` without the runtime, `Other` where the package cannot be written.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shown = self.file.display();
        let onnx = std::fs::read(&self.file).map_err(|e| Failure::bad_input(format!("{shown}: {e}")))?;
        let runtime = Runtime::load(self.onnxruntime.as_deref())
            .map_err(|e| Failure::new(Exit::CannotServe, e.to_string()))?;
        let fixed = self.fix.iter().cloned().collect();
        let found = import::import(runtime, &onnx, &fixed).map_err(|error| match error {
            EngineError::InvalidInput { field, message } => {
                Failure::usage(format!("--fix {field}: {message}"))
            }
            other => Failure::bad_input(format!("{shown}: {other}")),
        })?;
        let version = self.version()?;
        let directory = self.models.join(self.name.as_str()).join(version.to_string());
        let graph = GraphSpec { name: GRAPH.into(), file: FILE.into(), ..found.spec };
        let golden = Golden { cases: [(GRAPH.to_owned(), found.golden)].into(), ..Golden::default() };
        let writer = PackageWriter::new(self.manifest(version, graph), golden).graph(GRAPH, onnx);
        let package = writer.write(&directory, Existing::Refuse).map_err(|e| unwritten(&e))?;
        stdout::text(&said(&package, &directory, found.joined))
    }

    /// The version that was asked for, or the one after the newest that is there.
    fn version(&self) -> Result<Version, Failure> {
        let version = |n: u32| Version::new(n).ok_or_else(|| Failure::usage("there is no version left"));
        if let Some(number) = self.version {
            return version(number);
        }
        let entries = self.models.join(self.name.as_str()).read_dir();
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        let newest = names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or(0_u32);
        version(newest.wrapping_add(1))
    }

    fn manifest(&self, version: Version, graph: GraphSpec) -> Manifest {
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        Manifest {
            name: self.name.clone(),
            version,
            kind: Kind::Onnx,
            summary: self.summary.clone().unwrap_or_else(|| format!("Imported from {file}")),
            licence: self.licence.clone(),
            data: self.data.clone(),
            limits: None,
            graphs: vec![graph],
            vocabulary: None,
            labels: None,
            novelty: None,
            audio: None,
            segmentation: None,
            telemetry: None,
            training: None,
            metrics: toml::Table::new(),
        }
    }
}

fn unwritten(error: &PackageError) -> Failure {
    match error {
        PackageError::Field { field, message, .. } => Failure::bad_input(format!("{field}: {message}")),
        other => Failure::new(Exit::Other, other.to_string()),
    }
}

/// What was made, in the words of whoever calls it.
fn said(package: &Package, directory: &Path, joined: bool) -> String {
    let mut text = format!("{}\n", directory.display());
    let tensor = |spec: &TensorSpec| format!("{} {} {}", spec.name, spec.dtype, spec.shape_text());
    for graph in &package.manifest().graphs {
        for (side, specs) in [("input", &graph.inputs), ("output", &graph.outputs)] {
            for spec in specs {
                text.push_str(&format!("  {side:<6}  {}\n", tensor(spec)));
            }
        }
    }
    text.push_str(match joined {
        true => "  requests are joined along \"batch\": each row came out with others as it did alone\n",
        false => "  requests run one at a time, each as it comes\n",
    });
    text
}
