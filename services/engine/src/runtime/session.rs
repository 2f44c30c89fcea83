//! One ONNX Runtime session over one graph, held to what the package says about it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atelier_package::{Bindings, Dim, Dtype, GraphSpec, Tensor, TensorData, TensorSpec};
use ort::ep::ArenaExtendStrategy;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::binding::{Allocators, bind_inputs};
use super::frame::Frame;
use super::{Device, Runtime};
use crate::EngineError;

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

    /// Memory for runs of so many rows of a graph of which nothing but the batch is open.
    fn frame(&self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        Frame::plain(spec, rows)
    }

    /// The same as [`run`](Runner::run), out of and into the memory of a [`frame`](Runner::frame) of this runner.
    fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
        let outputs = self.run(&frame.inputs()?)?;
        frame.set_outputs(&outputs)
    }
}

/// Stops the run of a [`Runner`] from another thread.
pub(crate) trait Stop: Send + Sync {
    /// The run that is under way, or else the next one, ends in an error as soon as it can: ONNX Runtime looks
    /// between the nodes of a graph.
    fn stop(&self);

    /// Lets runs go on again. Returns whether they were stopped.
    fn reset(&self) -> bool;
}

/// [`Stop`] by the options that a session's runs share.
struct StopOptions {
    options: RunOptions,
    stopped: AtomicBool,
}

impl Stop for StopOptions {
    fn stop(&self) {
        match self.options.terminate() {
            Ok(()) => self.stopped.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, "a run cannot be stopped"),
        }
    }

    fn reset(&self) -> bool {
        let stopped = self.stopped.swap(false, Ordering::AcqRel);
        if stopped && let Err(error) = self.options.unterminate() {
            tracing::error!(%error, "a session cannot be used again after a run was stopped");
        }
        stopped
    }
}

/// Makes the runner of a worker, at first and after a fault.
pub(crate) type Factory = Arc<dyn Fn() -> Result<Box<dyn Runner>, EngineError> + Send + Sync>;

/// A session whose inputs and outputs are those of its spec.
pub(crate) struct GraphSession {
    session: Session,
    spec: Arc<GraphSpec>,
    device: Device,
    allocators: Allocators,
    stop: Arc<StopOptions>,
}

impl GraphSession {
    /// Opens a session with `threads` threads that sleep when idle, and compares the graph with its spec.
    pub(crate) fn open(
        runtime: &Runtime,
        onnx: &[u8],
        spec: Arc<GraphSpec>,
        device: Device,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let session = build(runtime, onnx, device, threads)
            .map_err(|message| EngineError::Package(format!("{}: {message}", spec.file)))?;
        compare(&spec.file, "inputs", &spec.inputs, session.inputs())?;
        compare(&spec.file, "outputs", &spec.outputs, session.outputs())?;
        let options = RunOptions::new().map_err(|e| EngineError::Runtime(e.to_string()))?;
        let stop = Arc::new(StopOptions { options, stopped: AtomicBool::new(false) });
        let allocators = Allocators::of(&session, device);
        Ok(Self { session, spec, device, allocators, stop })
    }
}

/// Opens a session over a graph of which nothing is known yet, and says what it takes and gives.
pub(crate) fn bare<T>(
    runtime: &Runtime,
    onnx: &[u8],
    device: Device,
    read: impl FnOnce(&[Outlet], &[Outlet]) -> T,
) -> Result<T, EngineError> {
    let session = build(runtime, onnx, device, 1).map_err(EngineError::Package)?;
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
        let session = build(runtime, onnx, Device::Cpu, 1).map_err(EngineError::Package)?;
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

fn build(runtime: &Runtime, onnx: &[u8], device: Device, threads: usize) -> Result<Session, String> {
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
        let cuda = ort::ep::CUDA::default()
            .with_device_id(id)
            .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            .with_tf32(false)
            .build()
            .error_on_failure();
        builder = builder.with_execution_providers([cuda]).map_err(|e| refused(&e))?;
        builder = builder.with_disable_cpu_fallback().map_err(|e| refused(&e))?;
    }
    builder.commit_from_memory(onnx).map_err(|e| refused(&e))
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

impl Runner for GraphSession {
    fn stop(&self) -> Option<Arc<dyn Stop>> {
        Some(Arc::clone(&self.stop) as Arc<dyn Stop>)
    }

    fn frame(&self, spec: &GraphSpec, rows: usize) -> Result<Frame, EngineError> {
        self.allocators.frame(&self.session, spec, rows)
    }

    fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
        let failed = |e: ort::Error| EngineError::Runtime(format!("{}: {e}", self.spec.file));
        let foreign = || EngineError::Runtime("a frame of another runner".into());
        let mut binding = frame.binding.take().ok_or_else(foreign)?;
        let mut run = || {
            if self.device != Device::Cpu {
                // Binding is what copies to the device.
                bind_inputs(&mut binding, &self.spec, frame)?;
            }
            self.session.run_binding_with_options(&binding, &self.stop.options).map(drop)
        };
        let result = run().map_err(failed);
        // A run that was stopped is no fault: the next one is bound as this was.
        frame.binding = Some(binding);
        result
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let file = &self.spec.file;
        let failed = |e: ort::Error| EngineError::Runtime(format!("{file}: {e}"));
        let values = values(&self.spec, inputs).map_err(failed)?;
        let outputs = self.session.run_with_options(values, &self.stop.options).map_err(failed)?;
        let mut bindings = Bindings::new();
        for (spec, tensor) in self.spec.inputs.iter().zip(inputs) {
            // Inputs were checked before they were queued: this only binds the symbols.
            let _ = spec.check_shape(tensor, &mut bindings);
        }
        self.spec
            .outputs
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
mod tests {
    use std::path::Path;

    use atelier_package::{Package, Repository, StatePair};

    use super::*;

    /// A session over a stateless graph of the tests, with its golden inputs.
    fn session() -> (GraphSession, Vec<Tensor>) {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
        let repository = Repository::scan(&models).unwrap();
        let package = repository.latest().find(|p| p.manifest().graphs.iter().any(|g| !g.is_step())).unwrap();
        let spec = Arc::new(package.manifest().graphs.iter().find(|g| !g.is_step()).unwrap().clone());
        let onnx = package.graph_bytes(&spec.name).unwrap();
        let runtime = Runtime::load(None).unwrap();
        let session = GraphSession::open(runtime, &onnx, Arc::clone(&spec), Device::Cpu, 1).unwrap();
        let case = &package.golden().cases[&spec.name];
        (session, spec.inputs.iter().map(|s| case.inputs[&s.name].clone()).collect())
    }

    fn put(frame: &mut Frame, inputs: &[Tensor]) {
        for (input, tensor) in inputs.iter().enumerate() {
            frame.put(input, 0, tensor, 0..tensor.shape()[0]).unwrap();
        }
    }

    #[test]
    fn a_frame_gives_the_bits_of_tensors_and_what_is_put_into_it_next_counts() {
        let (mut session, inputs) = session();
        let spec = Arc::clone(&session.spec);
        let rows = inputs[0].shape()[0];
        let mut frame = session.frame(&spec, rows).unwrap();
        let zeros: Vec<Tensor> = frame.inputs().unwrap();
        assert_ne!(inputs, zeros, "what a frame begins with");
        for inputs in [&inputs, &zeros, &inputs] {
            put(&mut frame, inputs);
            session.run_frame(&mut frame).unwrap();
            assert_eq!(frame.take(0..rows).unwrap(), session.run(inputs).unwrap());
        }
    }

    #[test]
    fn states_that_are_carried_over_give_the_bits_of_states_that_are_copied() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
        let repository = Repository::scan(&models).unwrap();
        let graphs = |p: &Package| p.manifest().graphs.iter().find(|g| !g.state.is_empty()).cloned();
        let (package, spec) = repository.latest().find_map(|p| Some((p, Arc::new(graphs(p)?)))).unwrap();
        let onnx = package.graph_bytes(&spec.name).unwrap();
        let runtime = Runtime::load(None).unwrap();
        let mut session = GraphSession::open(runtime, &onnx, Arc::clone(&spec), Device::Cpu, 1).unwrap();
        let mut frame = session.frame(&spec, 2).unwrap();
        let mut inputs = frame.inputs().unwrap();
        let ends = |pair: &StatePair| {
            let input = spec.inputs.iter().position(|s| s.name == pair.input);
            Some((input?, spec.outputs.iter().position(|s| s.name == pair.output)?))
        };
        let pairs: Vec<_> = spec.state.iter().map(|pair| ends(pair).unwrap()).collect();
        let mut last = Vec::new();
        for step in 0..4 {
            let outputs = session.run(&inputs).unwrap();
            session.run_frame(&mut frame).unwrap();
            for (i, output) in outputs.iter().enumerate() {
                assert_eq!(
                    frame.output::<f32>(i).unwrap(),
                    output.as_f32().unwrap(),
                    "step {step}, output {i}"
                );
            }
            assert_ne!(outputs, last, "every step changes what is remembered");
            frame.carry(&spec, pairs.iter().copied()).unwrap();
            pairs.iter().for_each(|(input, output)| inputs[*input] = outputs[*output].clone());
            last = outputs;
        }
    }

    #[test]
    fn a_frame_that_is_bound_to_no_session_is_not_run() {
        let (mut session, _) = session();
        let mut plain = Frame::plain(&session.spec, 1).unwrap();
        assert!(session.run_frame(&mut plain).is_err());
    }

    #[test]
    fn a_stopped_run_ends_in_an_error_and_after_a_reset_the_session_runs_again() {
        let (mut session, inputs) = session();
        let before = session.run(&inputs).unwrap();
        let spec = Arc::clone(&session.spec);
        let mut frame = session.frame(&spec, inputs[0].shape()[0]).unwrap();
        put(&mut frame, &inputs);
        let stop = session.stop().unwrap();
        assert!(!stop.reset(), "nobody stopped it");
        stop.stop();
        for error in [session.run(&inputs).unwrap_err(), session.run_frame(&mut frame).unwrap_err()] {
            assert!(matches!(&error, EngineError::Runtime(why) if why.contains("terminate")), "{error}");
        }
        assert!(stop.reset());
        assert_eq!(session.run(&inputs).unwrap(), before);
        session.run_frame(&mut frame).unwrap();
        assert_eq!(frame.take(0..inputs[0].shape()[0]).unwrap(), before);
    }
}
