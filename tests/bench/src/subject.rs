//! Graphs that servers are measured with, as files and as requests.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use atelier_package::{Dim, Dtype, GraphSpec, Repository, Tensor, TensorSpec};
use bytes::Bytes;

use crate::infer::message;
use crate::perceptron::perceptron;
use crate::rows::{join, row};
use crate::server::Program;

/// Different requests of each graph, so that nothing gains by an answer that it has.
const REQUESTS: u64 = 128;

/// A graph with requests of one row each.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) onnx: Vec<u8>,
    pub(crate) spec: GraphSpec,
    pub(crate) rows: Vec<Vec<Tensor>>,
    pub(crate) messages: Arc<[Bytes]>,
}

impl Subject {
    fn new(name: &'static str, onnx: Vec<u8>, spec: GraphSpec) -> Result<Self> {
        let rows = (0..REQUESTS).map(|seed| row(&spec, seed)).collect::<Result<Vec<_>>>()?;
        let messages = rows.iter().map(|row| message(name, &spec, row)).collect();
        Ok(Self { name, onnx, spec, rows, messages })
    }

    /// The shipped generator of clothes: little arithmetic, 4 KiB of answer.
    ///
    /// # Errors
    /// There is no such package.
    pub(crate) fn generator(shipped: &Path) -> Result<Self> {
        let repository = Repository::scan(shipped)?;
        let package = repository.latest().find(|package| package.name().as_str() == "fashion-dcgan");
        let package = package.with_context(|| format!("{}: no fashion-dcgan", shipped.display()))?;
        let spec = package.manifest().graph("generator").context("fashion-dcgan: no generator")?.clone();
        Self::new("dcgan", package.graph_bytes("generator")?, spec)
    }

    /// The wide perceptron: 40 MB of weights, several times cheaper a row in a batch.
    ///
    /// # Errors
    /// Never, as long as its spec is that of its graph.
    pub(crate) fn perceptron() -> Result<Self> {
        let dims = |width| [Dim::Symbol(Dim::BATCH.into()), Dim::Fixed(width)];
        let spec = GraphSpec {
            name: "perceptron".into(),
            inputs: vec![TensorSpec::new("x", Dtype::F32, dims(512))],
            outputs: vec![TensorSpec::new("y", Dtype::F32, dims(384))],
            ..GraphSpec::default()
        };
        Self::new("mlp-40mb", perceptron(1), spec)
    }

    /// Writes its file, and makes a package of it below `models`.
    ///
    /// # Errors
    /// It cannot be written or imported.
    pub(crate) fn install(&self, program: &Program, models: &Path) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("graph.onnx");
        std::fs::write(&file, &self.onnx)?;
        program.import(&file, self.name, models)
    }

    /// This many rows as one batch, the requests' own as far as they go.
    ///
    /// # Errors
    /// Its graph takes no batches.
    pub(crate) fn batch(&self, rows: usize) -> Result<Vec<Tensor>> {
        let rows: Vec<_> = self.rows.iter().cycle().take(rows).cloned().collect();
        join(&self.spec, &rows)
    }
}
