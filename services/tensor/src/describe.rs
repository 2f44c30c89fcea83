//! The server and its models, described.

use atelier_chassis::ServiceError;
use atelier_engine::{Device, GraphHandle, GraphPlan, Plan};
use atelier_package::{Dim, TensorSpec};
use atelier_proto::inference as api;
use atelier_proto::inference::model_instance_group::Kind;
use atelier_proto::inference::model_metadata_response::TensorMetadata;

use crate::catalog::{Target, version_text};
use crate::datatype;
use crate::parameters::{DEFAULT_PRIORITY, PRIORITY_LEVELS};

/// The platform and backend of every model, in Triton's words.
const PLATFORM: &str = "onnxruntime_onnx";
const BACKEND: &str = "onnxruntime";

/// What the server says of itself, whichever role it is; of its plan once its models are loaded.
pub(crate) fn server(plan: Option<&Plan>) -> api::ServerMetadataResponse {
    let extensions = ["model_configuration", "schedule_policy", "statistics", "parameters"];
    let extensions = extensions.map(str::to_owned).into_iter();
    api::ServerMetadataResponse {
        name: "atelier".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        extensions: extensions.chain(plan.map(planned).into_iter().flatten()).collect(),
    }
}

/// Who computes where in this process, as extensions `atelier.KEY=VALUE`: the message has no other place for it, and
/// clients pass over extensions that they do not know.
fn planned(plan: &Plan) -> Vec<String> {
    // A device that cannot be had is an error and never a run elsewhere, so this is what is in use.
    let provider = match plan.device {
        Device::Cpu => "CPUExecutionProvider",
        Device::Cuda(_) => "CUDAExecutionProvider",
    };
    let process = [
        format!("atelier.execution_provider={provider}"),
        format!("atelier.device={}", plan.device),
        format!("atelier.cores={}", plan.parallelism),
        format!("atelier.threads={}", plan.running),
    ];
    let sessions =
        |graph: &GraphPlan| format!("atelier.sessions.{}={}x{}", graph.name, graph.workers, graph.threads);
    process.into_iter().chain(plan.graphs.iter().map(sessions)).collect()
}

/// The inputs and outputs of a model; `versions` are those that are loaded.
pub(crate) fn metadata(
    target: &Target,
    versions: &[Target],
) -> Result<api::ModelMetadataResponse, ServiceError> {
    let spec = spec(target)?;
    let tensor = |spec: &TensorSpec| TensorMetadata {
        name: spec.name.clone(),
        datatype: datatype::name(spec.dtype).into(),
        shape: dims(&spec.shape),
    };
    let mut versions: Vec<&Target> = versions.iter().collect();
    versions.sort_by_key(|target| target.model.version());
    Ok(api::ModelMetadataResponse {
        name: target.name.clone(),
        versions: versions.into_iter().map(version_text).collect(),
        platform: PLATFORM.into(),
        inputs: spec.inputs.iter().map(tensor).collect(),
        outputs: spec.outputs.iter().map(tensor).collect(),
    })
}

/// How a model is batched and scheduled. Graphs that keep a state have neither.
pub(crate) fn config(target: &Target) -> Result<api::ModelConfig, ServiceError> {
    let spec = spec(target)?;
    let handle = target.model.graph(&spec.name).ok();
    // Triton leaves the batch out of the dimensions where it joins requests along it, and knows no tensor that has no
    // other: a model with one is described as it is, as if its requests were not joined.
    let tells = spec.inputs.iter().chain(&spec.outputs).all(|tensor| tensor.shape.len() > 1);
    let joined = handle.filter(|handle| handle.joins_requests() && tells);
    let own = |shape: &[Dim]| dims(shape.get(usize::from(joined.is_some())..).unwrap_or_default());
    let input = |spec: &TensorSpec| api::ModelInput {
        name: spec.name.clone(),
        data_type: datatype::config(spec.dtype).into(),
        dims: own(&spec.shape),
    };
    let output = |spec: &TensorSpec| api::ModelOutput {
        name: spec.name.clone(),
        data_type: datatype::config(spec.dtype).into(),
        dims: own(&spec.shape),
    };
    Ok(api::ModelConfig {
        name: target.name.clone(),
        platform: PLATFORM.into(),
        backend: BACKEND.into(),
        max_batch_size: joined.map_or(0, |handle| whole(handle.max_rows())),
        input: spec.inputs.iter().map(input).collect(),
        output: spec.outputs.iter().map(output).collect(),
        instance_group: handle.map(|handle| workers(target, handle)).into_iter().collect(),
        default_model_filename: spec.file.clone(),
        scheduling_choice: joined.map(scheduling),
    })
}

fn scheduling(handle: &GraphHandle) -> api::model_config::SchedulingChoice {
    api::model_config::SchedulingChoice::DynamicBatching(api::ModelDynamicBatching {
        preferred_batch_size: handle.batch_sizes().iter().copied().map(whole).collect(),
        max_queue_delay_microseconds: u64::try_from(handle.max_queue_delay().as_micros()).unwrap_or(u64::MAX),
        priority_levels: PRIORITY_LEVELS,
        default_priority_level: DEFAULT_PRIORITY,
    })
}

fn workers(target: &Target, handle: &GraphHandle) -> api::ModelInstanceGroup {
    let (kind, gpus) = match target.model.device() {
        Device::Cpu => (Kind::Cpu, Vec::new()),
        Device::Cuda(id) => (Kind::Gpu, vec![id]),
    };
    api::ModelInstanceGroup {
        name: target.name.clone(),
        count: whole(handle.workers()),
        gpus,
        kind: kind.into(),
    }
}

fn spec(target: &Target) -> Result<&atelier_package::GraphSpec, ServiceError> {
    target.spec().ok_or_else(|| ServiceError::internal("a graph that its manifest lacks"))
}

fn dims(shape: &[Dim]) -> Vec<i64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        Dim::Symbol(_) => -1,
    };
    shape.iter().map(size).collect()
}

fn whole(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
