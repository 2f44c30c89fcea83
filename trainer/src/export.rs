//! From a run to a package: graphs recorded, held against libtorch on ONNX Runtime, and written.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use atelier_package::{
    Dim, Dtype, Existing, Golden, GoldenCase, GraphSpec, Manifest, Package, PackageWriter, Tensor,
    TensorData, Training, Version, compare,
};
use rand::Rng;
use tch::Device;

use crate::checkpoint::Checkpoint;
use crate::graphs::{Exportable, GraphPlan};
use crate::onnx_runtime::OnnxRuntime;
use crate::ops::eager::to_vec;
use crate::ops::export::Exported;
use crate::random;
use crate::recipe::RecipeConfig;
use crate::run::RunDir;

/// The largest difference between libtorch and ONNX Runtime that an export may have, over `1 + |output|`.
pub const TOLERANCE: f32 = 1e-4;

/// Batch sizes at which the two are compared.
pub const BATCHES: [usize; 3] = [1, 3, 8];

/// Which of a run's averaged weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights {
    /// Those after its last step.
    Last,
    /// Those of its best validation, where weights may be chosen by it.
    Best,
}

/// How closely one graph agrees with libtorch.
#[derive(Debug)]
pub struct Parity {
    /// The graph.
    pub graph: &'static str,
    /// The largest absolute difference of any output's element at any batch size.
    pub max_error: f32,
}

/// A package that was written.
#[derive(Debug)]
pub struct Written {
    /// The package.
    pub package: Package,
    /// How closely its graphs agree with libtorch.
    pub parities: Vec<Parity>,
    /// The steps after which its weights stood so.
    pub step: u64,
    /// The steps of the whole run.
    pub total: u64,
}

/// Random inputs that fit a plan: uniform within an input's range, standard normal where there is none.
#[must_use]
pub fn random_inputs(plan: &GraphPlan, batch: usize, seed: u64) -> Vec<Tensor> {
    let mut rng = random::generator(&[seed, batch as u64]);
    plan.inputs
        .iter()
        .map(|spec| {
            let shape: Vec<usize> = spec
                .shape
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(n) => *n,
                    Dim::Symbol(_) => batch,
                })
                .collect();
            let count = shape.iter().product();
            let [low, high] = spec.range.unwrap_or([0.0, 1.0]);
            let data = match (spec.dtype, spec.range) {
                (Dtype::F32, None) => {
                    TensorData::F32(random::normals(&mut rng, count).map(|x| x as f32).collect())
                }
                (Dtype::F32, Some(_)) => {
                    let uniform = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
                    let draw = |_| (low + (high - low) * uniform(rng.next_u64())) as f32;
                    TensorData::F32((0..count).map(draw).collect())
                }
                (Dtype::I64, _) => {
                    let span = (high - low) as u64 + 1;
                    TensorData::I64((0..count).map(|_| low as i64 + (rng.next_u64() % span) as i64).collect())
                }
            };
            // The data was made to fill the shape.
            Tensor::new(shape, data).unwrap_or_else(|e| unreachable!("{e}"))
        })
        .collect()
}

fn to_torch(tensor: &Tensor) -> tch::Tensor {
    let shape: Vec<i64> = tensor.shape().iter().map(|&n| n as i64).collect();
    match tensor.data() {
        TensorData::F32(data) => tch::Tensor::from_slice(data),
        TensorData::I64(data) => tch::Tensor::from_slice(data),
    }
    .reshape(shape)
}

fn eager(network: &dyn Exportable, plan: &GraphPlan, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
    let inputs: Vec<tch::Tensor> = inputs.iter().map(to_torch).collect();
    let outputs = network.eager(plan, &inputs);
    let convert = |t: &tch::Tensor| {
        let shape: Vec<usize> = t.size().iter().map(|&n| n as usize).collect();
        Ok(Tensor::f32(shape, to_vec(t))?)
    };
    outputs.iter().map(convert).collect()
}

/// Runs a recorded graph on ONNX Runtime and the same network on libtorch, on random inputs at every size of
/// [`BATCHES`].
///
/// # Errors
/// ONNX Runtime refuses the graph, or an output differs by more than [`TOLERANCE`] of `1 + |output|`.
pub fn parity(
    runtime: &OnnxRuntime,
    network: &dyn Exportable,
    plan: &GraphPlan,
    exported: &Exported,
) -> anyhow::Result<Parity> {
    let mut session = runtime.graph(&exported.onnx, &exported.inputs, &exported.outputs)?;
    let mut max_error = 0f32;
    for batch in BATCHES {
        let inputs = random_inputs(plan, batch, 17);
        let expected = eager(network, plan, &inputs)?;
        let actual = session.run(&inputs)?;
        for ((spec, e), a) in exported.outputs.iter().zip(&expected).zip(&actual) {
            let at = format!("{}.{} at batch {batch}", plan.name, spec.name);
            ensure!(e.shape() == a.shape(), "{at}: shape {:?}, libtorch has {:?}", a.shape(), e.shape());
            // As the server compares its golden outputs: a large logit is rounded more coarsely than a small one.
            let error = compare(e, a, TOLERANCE).with_context(|| format!("{at}: differs from libtorch"))?;
            max_error = max_error.max(error as f32);
        }
    }
    Ok(Parity { graph: plan.name, max_error })
}

/// Exports averaged weights of a run as a package.
///
/// # Errors
/// The run cannot be read or has kept no such weights, a graph does not agree with libtorch, or the package cannot be written.
pub fn export(
    run: &RunDir,
    weights: Weights,
    config: &RecipeConfig,
    data: &Path,
    directory: &Path,
    existing: Existing,
    runtime: &OnnxRuntime,
) -> anyhow::Result<Written> {
    let mut recipe = config.build(data, Device::Cpu)?;
    let path = match weights {
        Weights::Last => run.checkpoint(),
        Weights::Best => run.best(),
    };
    ensure!(
        weights == Weights::Last || path.exists(),
        "there is no {}: no validation is done yet, or none that this family's weights may be chosen by",
        path.display()
    );
    let checkpoint = Checkpoint::read(&path)?;
    ensure!(
        checkpoint.fingerprint == config.fingerprint(),
        "{} comes of another recipe than {}",
        path.display(),
        run.recipe_path().display()
    );
    let total = recipe.steps_per_epoch() * config.epochs;
    let average = checkpoint.group("average", Device::Cpu);
    recipe.store_mut().load(&average).with_context(|| path.display().to_string())?;
    recipe.settle();

    let mut manifest = manifest(run, config, directory)?;
    manifest.vocabulary = recipe.vocabulary();
    recipe.complete(&mut manifest);
    let network = recipe.network();
    let mut golden = Golden { tolerance: TOLERANCE, cases: BTreeMap::new() };
    let (mut files, mut parities) = (Vec::new(), Vec::new());
    for plan in network.plans() {
        let exported = network.export(&plan);
        parities.push(parity(runtime, network, &plan, &exported)?);
        golden.cases.insert(plan.name.to_owned(), golden_case(network, &plan, &exported)?);
        manifest.graphs.push(GraphSpec {
            name: plan.name.to_owned(),
            file: format!("{}.onnx", plan.name),
            sha256: String::new(),
            inputs: exported.inputs,
            outputs: exported.outputs,
            state: exported.state,
            delays: network.delays(plan.name),
        });
        files.push((plan.name, exported.onnx));
    }
    let writer = files
        .into_iter()
        .fold(PackageWriter::new(manifest, golden), |writer, (name, onnx)| writer.graph(name, onnx));
    Ok(Written { package: writer.write(directory, existing)?, parities, step: checkpoint.step, total })
}

/// What libtorch answers to two random rows: what every server must answer before it is ready.
fn golden_case(
    network: &dyn Exportable,
    plan: &GraphPlan,
    exported: &Exported,
) -> anyhow::Result<GoldenCase> {
    let inputs = random_inputs(plan, 2, 1);
    let outputs = eager(network, plan, &inputs)?;
    let names =
        |specs: &[atelier_package::TensorSpec]| specs.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    Ok(GoldenCase {
        inputs: names(&exported.inputs).into_iter().zip(inputs).collect(),
        outputs: names(&exported.outputs).into_iter().zip(outputs).collect(),
    })
}

fn manifest(run: &RunDir, config: &RecipeConfig, directory: &Path) -> anyhow::Result<Manifest> {
    let version = directory.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<Version>().ok());
    let version = version.with_context(|| {
        format!(
            "{}: a package's directory is models/NAME/VERSION, VERSION a number from 1",
            directory.display()
        )
    })?;
    let summary = run.summary()?;
    Ok(Manifest {
        name: config.package.parse()?,
        version,
        kind: config.family.kind(),
        summary: config.summary.clone(),
        licence: config.licence.clone(),
        data: config.data.clone(),
        limits: config.limits.clone(),
        graphs: Vec::new(),
        vocabulary: None,
        labels: None,
        novelty: None,
        audio: None,
        segmentation: None,
        telemetry: None,
        training: Some(Training {
            recipe: config.name(),
            seed: config.seed,
            minutes: summary.minutes,
            machine: summary.machine,
        }),
        metrics: toml::Table::new(),
    })
}
