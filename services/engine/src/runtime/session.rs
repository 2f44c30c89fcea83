//! One ONNX Runtime session over one graph, held to what the package says about it.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atelier_package::{Bindings, Dim, Dtype, GraphSpec, Tensor, TensorData, TensorSpec};
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{ArbitrarilyConfigurableExecutionProvider, ArenaExtendStrategy};
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::binding::{Allocators, bind_inputs, fetch, stage};
use super::frame::Frame;
use super::stop::{Stop, StopOptions};
use super::{Device, Runtime, cuda_graph, gpu};
use crate::EngineError;
use crate::sizes::Samples;

/// Something that computes the outputs of a graph from its inputs, one call at a time.
///
/// The seam between the scheduling of workers and what they run: [`GraphSession`] in earnest, and in the
/// tests of faults one that breaks on purpose.
pub(crate) trait Runner: Send {
    /// Inputs and outputs in the order of the graph's spec.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError>;

    /// What stops a run from another thread, if it can be stopped.
    fn stop(&self) -> Option<Arc<dyn Stop>> {
        None
    }

    /// Whether it can be run on after a run that ended in an error.
    fn survives(&self) -> bool {
        true
    }

    /// Runs rows of its own in a frame, or without one as they are: what it lacks for that it has from then on. One
    /// that has no rows does nothing.
    fn warm(&mut self, _frame: Option<&mut Frame>) -> Result<(), EngineError> {
        Ok(())
    }

    /// From now on this thread runs it, and frames are recorded where they can be. Says whether they are.
    fn record(&mut self) -> bool {
        false
    }

    /// Memory for runs of so many rows of a graph of which nothing but the batch is open.
    fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        Frame::plain(spec, rows)
    }

    /// The same as [`run`](Runner::run), out of and into the memory of a [`frame`](Runner::frame) of this runner.
    fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
        let outputs = self.run(&frame.inputs()?)?;
        frame.set_outputs(&outputs)
    }
}

/// Makes the runner of a worker, at first and after a fault.
pub(crate) type Factory = Arc<dyn Fn() -> Result<Box<dyn Runner>, EngineError> + Send + Sync>;

/// A session whose inputs and outputs are those of its spec.
pub(crate) struct GraphSession {
    /// There until it is dropped.
    open: Option<Open>,
    spec: Arc<GraphSpec>,
    device: Device,
    /// Whether frames are made by the thread that runs them, which alone can record them.
    settled: bool,
    /// Whether runs of frames are replayed as CUDA graphs. For all sessions over a graph: where one cannot be recorded it is
    /// tried no more.
    replays: Arc<AtomicBool>,
    stop: Arc<StopOptions>,
    /// What it is warmed up with.
    samples: Option<Arc<Samples>>,
}

/// A session and what gets its memory, which keeps it alive.
struct Open {
    session: Session,
    allocators: Allocators,
}

impl GraphSession {
    /// Opens a session with `threads` threads that sleep when idle, and compares the graph with its spec.
    pub(crate) fn new(
        runtime: &Runtime,
        onnx: &[u8],
        spec: Arc<GraphSpec>,
        device: Device,
        threads: usize,
        replays: &Arc<AtomicBool>,
    ) -> Result<Self, EngineError> {
        let _beside = gpu::beside(device);
        let wrong = |message: String| EngineError::Package(format!("{}: {message}", spec.file));
        let failed = |e: ort::Error| EngineError::Runtime(format!("{}: {e}", spec.file));
        let mut replayed = replays.load(Ordering::Acquire);
        let session = match build(runtime, onnx, device, threads, replayed) {
            Err(message) if replayed => {
                unrecorded(replays, &spec, &message);
                replayed = false;
                build(runtime, onnx, device, threads, false)
            }
            built => built,
        };
        let session = session.map_err(wrong)?;
        compare(&spec.file, "inputs", &spec.inputs, session.inputs())?;
        compare(&spec.file, "outputs", &spec.outputs, session.outputs())?;
        let stop = Arc::new(StopOptions::new(replayed).map_err(failed)?);
        let allocators = Allocators::of(&session, device, replayed).map_err(failed)?;
        let (open, replays) = (Some(Open { session, allocators }), Arc::clone(replays));
        Ok(Self { open, spec, device, settled: false, replays, stop, samples: None })
    }

    /// With rows to warm it up.
    pub(crate) fn with_samples(mut self, samples: Arc<Samples>) -> Self {
        self.samples = Some(samples);
        self
    }

    fn open(&self) -> Result<&Open, EngineError> {
        self.open.as_ref().ok_or_else(gone)
    }

    fn failed(&self, error: &dyn Display) -> EngineError {
        EngineError::Runtime(format!("{}: {error}", self.spec.file))
    }

    /// A frame whose runs are replayed, once that was seen to give what other runs give.
    fn replayed(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        let _alone = gpu::alone(self.device);
        let mut frame = self.open()?.frame(spec, rows, true)?;
        frame.replayed = Some(self.stop.recorded().map_err(|e| self.failed(&e))?);
        cuda_graph::prove(&mut Unguarded(self), spec, &mut frame)?;
        Ok(frame)
    }
}

/// Nothing over this graph is recorded any more.
fn unrecorded(replays: &AtomicBool, spec: &GraphSpec, error: &dyn Display) {
    replays.store(false, Ordering::Release);
    tracing::warn!(graph = spec.file, %error, "no CUDA graph: kernels are launched one by one");
}

impl Open {
    fn frame(&self, spec: &GraphSpec, rows: usize, replayed: bool) -> Result<Frame, EngineError> {
        self.allocators.frame(&self.session, spec, rows, replayed)
    }
}

fn gone() -> EngineError {
    EngineError::Runtime("the session is closed".into())
}

impl Drop for GraphSession {
    fn drop(&mut self) {
        let _beside = gpu::beside(self.device);
        drop(self.open.take());
    }
}

/// Opens a session over a graph of which nothing is known yet, and says what it takes and gives.
pub(crate) fn bare<T>(
    runtime: &Runtime,
    onnx: &[u8],
    device: Device,
    read: impl FnOnce(&[Outlet], &[Outlet]) -> T,
) -> Result<T, EngineError> {
    let _beside = gpu::beside(device);
    let session = build(runtime, onnx, device, 1, false).map_err(EngineError::Package)?;
    Ok(read(session.inputs(), session.outputs()))
}

/// A session whose inputs are known, and of its outputs only names and types.
pub(crate) struct Loose {
    session: Session,
    spec: GraphSpec,
}

impl Loose {
    /// On the processor, where every graph is the same whatever the machine.
    pub(crate) fn open(
        runtime: &Runtime,
        onnx: &[u8],
        inputs: &[TensorSpec],
        outputs: &[(String, Dtype)],
    ) -> Result<Self, EngineError> {
        let session = build(runtime, onnx, Device::Cpu, 1, false).map_err(EngineError::Package)?;
        let outputs = outputs.iter().map(|(name, dtype)| TensorSpec::new(name, *dtype, [])).collect();
        Ok(Self { session, spec: GraphSpec { inputs: inputs.to_vec(), outputs, ..GraphSpec::default() } })
    }
}

impl Runner for Loose {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let failed = |e: ort::Error| EngineError::Runtime(e.to_string());
        let outputs = self.session.run(values(&self.spec, inputs).map_err(failed)?).map_err(failed)?;
        let wrong = |spec: &TensorSpec, why| EngineError::Runtime(format!("output `{}`: {why}", spec.name));
        self.spec.outputs.iter().map(|spec| extract(&outputs, spec).map_err(|e| wrong(spec, e))).collect()
    }
}

/// An output as a tensor. The error says what is wrong with it.
fn extract(outputs: &SessionOutputs<'_>, spec: &TensorSpec) -> Result<Tensor, String> {
    let value = outputs.get(&spec.name).ok_or("is missing")?;
    let tensor = match spec.dtype {
        Dtype::F32 => value.try_extract_tensor::<f32>().map(|(s, v)| Tensor::f32(sizes(s), v.to_vec())),
        Dtype::I64 => value.try_extract_tensor::<i64>().map(|(s, v)| Tensor::i64(sizes(s), v.to_vec())),
    };
    tensor.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

fn build(
    runtime: &Runtime,
    onnx: &[u8],
    device: Device,
    threads: usize,
    replayed: bool,
) -> Result<Session, String> {
    let text = |e: ort::Error<SessionBuilder>| e.to_string();
    let mut builder = Session::builder(&runtime.environment).map_err(|e| e.to_string())?;
    builder = builder.with_intra_threads(threads).map_err(text)?;
    builder = builder.with_inter_threads(1).map_err(text)?;
    // More sessions than cores: one that spins would take a core from one that works.
    builder = builder.with_intra_op_spinning(false).map_err(text)?;
    // The batch size changes from run to run.
    builder = builder.with_memory_pattern(false).map_err(text)?;
    builder = builder.with_deterministic_compute(true).map_err(text)?;
    let refused = |e: &dyn std::fmt::Display| match device {
        Device::Cpu => e.to_string(),
        Device::Cuda(_) => format!("{device} was asked for and cannot be had: {e}"),
    };
    if let Device::Cuda(id) = device {
        let mut cuda = ort::ep::CUDA::default();
        for (key, value) in cuda_options(id, replayed) {
            cuda = cuda.with_arbitrary_config(key, value);
        }
        let cuda = cuda.build().error_on_failure();
        builder = builder.with_execution_providers([cuda]).map_err(|e| refused(&e))?;
        builder = builder.with_disable_cpu_fallback().map_err(|e| refused(&e))?;
    }
    builder.commit_from_memory(onnx).map_err(|e| refused(&e))
}

/// How the GPU is used, in the words of ONNX Runtime.
fn cuda_options(id: i32, replayed: bool) -> [(&'static str, String); 5] {
    [
        ("device_id", id.to_string()),
        // Trying all algorithms takes seconds for each size of a batch.
        ("cudnn_conv_algo_search", ConvAlgorithmSearch::Heuristic.to_string()),
        // Several models share a device: none is to take more than it needs.
        ("arena_extend_strategy", ArenaExtendStrategy::SameAsRequested.to_string()),
        // Ten bits of a number are too few for the golden outputs.
        ("use_tf32", "0".into()),
        ("enable_cuda_graph", u8::from(replayed).to_string()),
    ]
}

fn compare(file: &str, side: &str, specs: &[TensorSpec], outlets: &[Outlet]) -> Result<(), EngineError> {
    let wrong = |message: String| Err(EngineError::Package(format!("{file}: {side}: {message}")));
    if let Some(extra) = outlets.iter().find(|o| !specs.iter().any(|s| s.name == o.name())) {
        return wrong(format!("the graph has `{}`, which package.toml does not have", extra.name()));
    }
    for spec in specs {
        let Some(outlet) = outlets.iter().find(|o| o.name() == spec.name) else {
            return wrong(format!("package.toml has `{}`, which the graph does not have", spec.name));
        };
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return wrong(format!("`{}` is no tensor", spec.name));
        };
        let same_type = matches!(
            (spec.dtype, ty),
            (Dtype::F32, TensorElementType::Float32) | (Dtype::I64, TensorElementType::Int64)
        );
        // What the graph leaves open the package may fix, but not the other way round.
        let same_shape = shape.len() == spec.shape.len()
            && shape.iter().zip(&spec.shape).all(|(n, dim)| match dim {
                Dim::Fixed(size) => *n < 0 || usize::try_from(*n) == Ok(*size),
                Dim::Symbol(_) => *n < 0,
            });
        if !same_type || !same_shape {
            return wrong(format!(
                "`{}` is {ty} {:?} in the graph (-1: any), but {} {} in package.toml",
                spec.name,
                &shape[..],
                spec.dtype,
                spec.shape_text()
            ));
        }
    }
    Ok(())
}

type Values<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

/// Tensors as the runtime takes them, without a copy.
fn values<'a>(spec: &'a GraphSpec, inputs: &'a [Tensor]) -> Result<Values<'a>, ort::Error> {
    let mut values = Vec::with_capacity(inputs.len());
    for (spec, tensor) in spec.inputs.iter().zip(inputs) {
        let shape: Vec<i64> = tensor.shape().iter().map(|d| i64::try_from(*d).unwrap_or(i64::MAX)).collect();
        let value: SessionInputValue<'_> = match tensor.data() {
            TensorData::F32(v) => TensorRef::from_array_view((shape, v.as_slice()))?.into(),
            TensorData::I64(v) => TensorRef::from_array_view((shape, v.as_slice()))?.into(),
        };
        values.push((Cow::Borrowed(spec.name.as_str()), value));
    }
    Ok(values)
}

/// A session that is run by one who sees to it that no recording is broken.
struct Unguarded<'a>(&'a mut GraphSession);

impl Runner for GraphSession {
    fn stop(&self) -> Option<Arc<dyn Stop>> {
        Some(Arc::clone(&self.stop) as Arc<dyn Stop>)
    }

    fn survives(&self) -> bool {
        // What goes wrong on a GPU may stay wrong in whatever comes after it.
        self.device == Device::Cpu
    }

    fn warm(&mut self, frame: Option<&mut Frame>) -> Result<(), EngineError> {
        let Some(samples) = self.samples.clone() else { return Ok(()) };
        let Some(frame) = frame else { return self.run(&samples.whole()).map(drop) };
        frame.set_inputs(&samples.batch(0, frame.rows())?)?;
        self.run_frame(frame)
    }

    fn record(&mut self) -> bool {
        self.settled = true;
        self.replays.load(Ordering::Acquire)
    }

    fn frame(&mut self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        if self.settled && self.replays.load(Ordering::Acquire) {
            match self.replayed(spec, rows) {
                Ok(frame) => return Ok(frame),
                Err(error) => unrecorded(&self.replays, spec, &error),
            }
        }
        let _beside = gpu::beside(self.device);
        self.open()?.frame(spec, rows, false)
    }

    fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
        let _beside = gpu::beside(self.device);
        Unguarded(self).run_frame(frame)
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let _beside = gpu::beside(self.device);
        Unguarded(self).run(inputs)
    }
}

impl Runner for Unguarded<'_> {
    fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
        let of = &mut *self.0;
        let foreign = || EngineError::Runtime("a frame of another runner".into());
        let mut binding = frame.binding.take().ok_or_else(foreign)?;
        let session = &mut of.open.as_mut().ok_or_else(gone)?.session;
        frame.torn = false;
        let mut run = || {
            if let Some(options) = frame.replayed.clone() {
                stage(frame)?;
                session.run_binding_with_options(&binding, &options)?;
                let fetched = fetch(frame);
                frame.torn = fetched.is_err();
                return fetched;
            }
            if of.device != Device::Cpu {
                // Binding is what copies to the device.
                bind_inputs(&mut binding, &of.spec, frame)?;
            }
            session.run_binding_with_options(&binding, &of.stop.options).map(drop)
        };
        let result = run();
        // A run that was stopped is no fault: the next one is bound as this was.
        frame.binding = Some(binding);
        result.map_err(|e| of.failed(&e))
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let GraphSession { open, spec, stop, .. } = &mut *self.0;
        let (session, file) = (&mut open.as_mut().ok_or_else(gone)?.session, &spec.file);
        let failed = |e: ort::Error| EngineError::Runtime(format!("{file}: {e}"));
        let values = values(spec, inputs).map_err(failed)?;
        let outputs = session.run_with_options(values, &stop.options).map_err(failed)?;
        let mut bindings = Bindings::new();
        for (spec, tensor) in spec.inputs.iter().zip(inputs) {
            // Inputs were checked before they were queued: this only binds the symbols.
            let _ = spec.check_shape(tensor, &mut bindings);
        }
        spec.outputs
            .iter()
            .map(|spec| {
                let wrong =
                    |why: String| EngineError::Runtime(format!("{file}: output `{}` {why}", spec.name));
                let tensor = extract(&outputs, spec).map_err(wrong)?;
                spec.check_shape(&tensor, &mut bindings).map_err(|e| wrong(e.to_string()))?;
                Ok(tensor)
            })
            .collect()
    }
}

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|d| usize::try_from(*d).unwrap_or_default()).collect()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
