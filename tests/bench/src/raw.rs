//! The limit: a graph on ONNX Runtime in this process, with nothing around it.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use atelier_package::{GraphSpec, Tensor, TensorData};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::machine;

/// ONNX Runtime, loaded once.
pub(crate) struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads the library.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub(crate) fn load(library: &Path) -> Result<Self> {
        let loaded = || format!("onnx runtime cannot be loaded from {}", library.display());
        let environment = ort::init_from(library).map_err(plain).with_context(loaded)?;
        let environment = environment.with_name("atelier-bench").with_telemetry(false).build();
        Ok(Self { environment: environment.map_err(plain).with_context(loaded)? })
    }

    /// Opens a graph as the engine does: threads that sleep when idle, the same bits each time, all cores.
    ///
    /// # Errors
    /// It is no graph.
    pub(crate) fn open(&self, onnx: &[u8]) -> Result<Raw> {
        self.open_on(onnx, machine::cores())
    }

    /// The same with so many threads.
    ///
    /// # Errors
    /// It is no graph.
    pub(crate) fn open_on(&self, onnx: &[u8], threads: usize) -> Result<Raw> {
        let mut builder = Session::builder(&self.environment).map_err(plain)?;
        builder = builder.with_intra_threads(threads).map_err(plain)?;
        builder = builder.with_inter_threads(1).map_err(plain)?;
        builder = builder.with_intra_op_spinning(false).map_err(plain)?;
        builder = builder.with_memory_pattern(false).map_err(plain)?;
        builder = builder.with_deterministic_compute(true).map_err(plain)?;
        Ok(Raw { session: builder.commit_from_memory(onnx).map_err(plain)? })
    }
}

/// The runtime's errors carry what was being built, which no other thread may see.
fn plain(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// A session.
pub(crate) struct Raw {
    session: Session,
}

impl Raw {
    /// Runs the graph once; its outputs are dropped as they are.
    fn run(&mut self, spec: &GraphSpec, inputs: &[Tensor]) -> Result<()> {
        self.session.run(values(spec, inputs)?).map_err(plain)?;
        Ok(())
    }

    /// Runs the graph once, for its outputs of f32 in the order of the spec.
    pub(crate) fn outputs(&mut self, spec: &GraphSpec, inputs: &[Tensor]) -> Result<Vec<Vec<f32>>> {
        let results = self.session.run(values(spec, inputs)?).map_err(plain)?;
        let output = |name: &str| -> Result<Vec<f32>> {
            let value = results.get(name).with_context(|| format!("no output {name}"))?;
            Ok(value.try_extract_tensor::<f32>().map_err(plain)?.1.to_vec())
        };
        spec.outputs.iter().map(|spec| output(&spec.name)).collect()
    }

    /// Runs these inputs again and again for `time`: how often, and how long that took.
    pub(crate) fn repeat(
        &mut self,
        spec: &GraphSpec,
        inputs: &[Tensor],
        time: Duration,
    ) -> Result<(u32, Duration)> {
        let start = Instant::now();
        let mut runs = 0;
        while start.elapsed() < time {
            self.run(spec, inputs)?;
            runs += 1;
        }
        Ok((runs, start.elapsed()))
    }
}

fn values<'a>(
    spec: &'a GraphSpec,
    inputs: &'a [Tensor],
) -> Result<Vec<(Cow<'a, str>, SessionInputValue<'a>)>> {
    let mut values = Vec::with_capacity(inputs.len());
    for (spec, tensor) in spec.inputs.iter().zip(inputs) {
        let shape: Vec<i64> = tensor.shape().iter().map(|size| *size as i64).collect();
        let value: SessionInputValue<'_> = match tensor.data() {
            TensorData::F32(v) => TensorRef::from_array_view((shape, v.as_slice())).map_err(plain)?.into(),
            TensorData::I64(v) => TensorRef::from_array_view((shape, v.as_slice())).map_err(plain)?.into(),
        };
        values.push((Cow::Borrowed(spec.name.as_str()), value));
    }
    Ok(values)
}
