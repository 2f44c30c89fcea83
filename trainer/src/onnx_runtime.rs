//! Exported graphs on ONNX Runtime: what is compared at export and what is evaluated.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, anyhow, ensure};
use atelier_package::{Dtype, Tensor, TensorData, TensorSpec};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

/// The library, loaded from `ORT_DYLIB_PATH`.
pub struct OnnxRuntime {
    environment: Environment,
    threads: usize,
}

impl OnnxRuntime {
    /// Loads the library; its sessions run on `threads` threads.
    ///
    /// # Errors
    /// `ORT_DYLIB_PATH` is not set or is not ONNX Runtime.
    pub fn load(threads: usize) -> anyhow::Result<Self> {
        let path = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from).context(
            "ORT_DYLIB_PATH is not set: it names libonnxruntime.so, which `cargo xtask runtime` fetches",
        )?;
        ensure!(path.is_file(), "ORT_DYLIB_PATH: there is no file {}", path.display());
        Ok(Self { environment: environment(&path)?, threads })
    }

    /// A session over one graph.
    ///
    /// # Errors
    /// What ONNX Runtime says against the graph.
    pub fn graph(
        &self,
        onnx: &[u8],
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> anyhow::Result<GraphSession> {
        let builder = Session::builder(&self.environment)?.with_intra_threads(self.threads);
        // Threads that spin would take the cores of a training that runs beside.
        let builder = builder.map_err(|e| anyhow!("{e}"))?.with_intra_op_spinning(false);
        let session = builder.map_err(|e| anyhow!("{e}"))?.commit_from_memory(onnx)?;
        Ok(GraphSession { session, inputs: inputs.to_vec(), outputs: outputs.to_vec() })
    }
}

/// The library's state in this process, which lets itself be made once only: whoever comes later shares it.
fn environment(path: &Path) -> anyhow::Result<Environment> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let failed = |e: &dyn Display| anyhow!("ORT_DYLIB_PATH: {} cannot be loaded: {e}", path.display());
    let environment = ort::init_from(path)
        .map_err(|e| failed(&e))?
        .with_telemetry(false)
        .build()
        .map_err(|e| failed(&e))?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

/// One graph, ready to run.
pub struct GraphSession {
    session: Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl GraphSession {
    /// Runs it: inputs and outputs in the order of the package.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn run(&mut self, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (spec, tensor) in self.inputs.iter().zip(inputs) {
            let shape: Vec<i64> = tensor.shape().iter().map(|&n| n as i64).collect();
            let value = match tensor.data() {
                TensorData::F32(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),
                TensorData::I64(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),
            };
            values.push((spec.name.as_str(), value));
        }
        let results = self.session.run(values)?;
        self.outputs
            .iter()
            .map(|spec| {
                let value = results.get(&spec.name).with_context(|| format!("no output {}", spec.name))?;
                let sizes = |shape: &[i64]| shape.iter().map(|&n| n as usize).collect::<Vec<_>>();
                Ok(match spec.dtype {
                    Dtype::F32 => {
                        let (shape, data) = value.try_extract_tensor::<f32>()?;
                        Tensor::f32(sizes(shape), data.to_vec())?
                    }
                    Dtype::I64 => {
                        let (shape, data) = value.try_extract_tensor::<i64>()?;
                        Tensor::i64(sizes(shape), data.to_vec())?
                    }
                })
            })
            .collect()
    }
}
