//! What a graph of unknown origin takes and gives, found out by asking and trying it.

mod shapes;

use std::collections::BTreeMap;

use atelier_package::{Dim, Dtype, GoldenCase, GraphSpec, Tensor, TensorData, TensorSpec, compare};
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::fault::run_caught;
use crate::rows::take;
use crate::runtime::session::{Loose, bare};
use crate::runtime::{Device, Runtime};
use crate::{EngineError, seed};
use shapes::{Open, Sizes};

/// Rows of the golden input: enough to tell rows apart.
const ROWS: usize = 3;
/// Of the golden input.
const SEED: u64 = 1;
/// As for golden outputs.
const TOLERANCE: f32 = atelier_package::DEFAULT_TOLERANCE;

/// A graph that can be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its inputs and outputs; name, file and hash are left empty.
    pub spec: GraphSpec,
    /// Random inputs, and the outputs that it gave for them.
    pub golden: GoldenCase,
    /// Whether requests can be joined along a first dimension, which is called "batch" then. It was tried: each
    /// row comes out with others as it does alone.
    pub joined: bool,
}

/// Reads the inputs and outputs of an ONNX graph, and runs it on random inputs: f32 from 0 to 1, i64 0 and 1.
///
/// `fixed` gives sizes to dimensions that the graph leaves open, by their names. Errors: `InvalidInput` naming the
/// dimension, `Package` where the graph cannot be served: it cannot be opened, has tensors of other types, or fails
/// on such inputs.
pub fn import(
    runtime: &'static Runtime,
    onnx: &[u8],
    fixed: &BTreeMap<String, usize>,
) -> Result<Imported, EngineError> {
    let (inputs, outputs) = bare(runtime, onnx, Device::Cpu, sides)?;
    let (inputs, outputs) = (inputs?, outputs?);
    let named = |name: &String| inputs.iter().any(|input| input.open.iter().any(|open| open.is(name)));
    if let Some(unknown) = fixed.keys().find(|name| !named(name)) {
        let mut known: Vec<String> = inputs.iter().flat_map(shapes::names).collect();
        known.dedup();
        let message = match known.is_empty() {
            true => "is no dimension that the inputs leave open: they leave none".to_owned(),
            false => format!("is no dimension that the inputs leave open; there is: {}", known.join(", ")),
        };
        return Err(EngineError::invalid(unknown, message));
    }
    // First with rows that are joined, if the graph may be one for that; then as it is.
    if let Some(inputs) = shapes::along_a_batch(&inputs, fixed)
        && let Ok((spec, golden)) = attempt(runtime, onnx, inputs, &outputs)
        && rows_are_apart(runtime, onnx, &spec, &golden)?
    {
        return Ok(Imported { spec, golden, joined: true });
    }
    let (spec, golden) = attempt(runtime, onnx, shapes::as_they_are(&inputs, fixed), &outputs)?;
    Ok(Imported { spec, golden, joined: false })
}

/// A tensor as the graph declares it.
pub(crate) struct Declared {
    name: String,
    dtype: Dtype,
    open: Vec<Open>,
}

type Side = Result<Vec<Declared>, EngineError>;

fn sides(inputs: &[Outlet], outputs: &[Outlet]) -> (Side, Side) {
    (
        inputs.iter().map(|o| declared("input", o)).collect(),
        outputs.iter().map(|o| declared("output", o)).collect(),
    )
}

fn declared(side: &str, outlet: &Outlet) -> Result<Declared, EngineError> {
    let name = outlet.name().to_owned();
    let cannot = |what: String| {
        EngineError::Package(format!(
            "{side} `{name}` is {what}, but tensors of Float32 and Int64 can be served"
        ))
    };
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(cannot("no tensor".into()));
    };
    let dtype = match ty {
        TensorElementType::Float32 => Dtype::F32,
        TensorElementType::Int64 => Dtype::I64,
        other => return Err(cannot(format!("of {other:?}"))),
    };
    let open =
        shape.iter().zip(dimension_symbols.iter()).map(|(size, symbol)| Open::new(*size, symbol)).collect();
    Ok(Declared { name, dtype, open })
}

/// Runs the graph at two sets of sizes, and says of its outputs what follows.
fn attempt(
    runtime: &'static Runtime,
    onnx: &[u8],
    inputs: Vec<TensorSpec>,
    outputs: &[Declared],
) -> Result<(GraphSpec, GoldenCase), EngineError> {
    let names = outputs.iter().map(|output| (output.name.clone(), output.dtype)).collect::<Vec<_>>();
    let mut session = Loose::open(runtime, onnx, &inputs, &names)?;
    let mut runs = Vec::with_capacity(2);
    for sizes in Sizes::two(&inputs, ROWS) {
        let given = random(&inputs, &sizes)?;
        let got = run_caught(&mut session, &given).map_err(|e| {
            let shapes: Vec<String> = inputs.iter().zip(&given).map(|(s, t)| format!("{} {:?}", s.name, t.shape())).collect();
            EngineError::Package(format!(
                "the graph fails on random inputs ({}): {e}; a dimension that takes certain sizes only can be fixed",
                shapes.join(", ")
            ))
        })?;
        runs.push((sizes, given, got));
    }
    let [first, second] =
        <[_; 2]>::try_from(runs).map_err(|_| EngineError::Runtime("two runs were made".into()))?;
    let mut specs = Vec::with_capacity(outputs.len());
    for (place, ((output, one), two)) in outputs.iter().zip(&first.2).zip(&second.2).enumerate() {
        if one.as_f32().is_some_and(|values| values.iter().any(|x| !x.is_finite())) {
            let message = format!("output `{}` is not finite for random inputs from 0 to 1", output.name);
            return Err(EngineError::Package(message));
        }
        let dims = shapes::derive(place, &output.open, (&first.0, one.shape()), (&second.0, two.shape()));
        specs.push(TensorSpec::new(&output.name, output.dtype, dims));
    }
    let golden = GoldenCase { inputs: by_name(&inputs, first.1), outputs: by_name(&specs, first.2) };
    Ok((GraphSpec { inputs, outputs: specs, ..GraphSpec::default() }, golden))
}

/// Whether each row of the golden input comes out alone as it does with the others.
fn rows_are_apart(
    runtime: &'static Runtime,
    onnx: &[u8],
    spec: &GraphSpec,
    golden: &GoldenCase,
) -> Result<bool, EngineError> {
    let joined = |spec: &TensorSpec| {
        spec.batch_axis() == Some(0) && spec.shape.iter().skip(1).all(|dim| matches!(dim, Dim::Fixed(_)))
    };
    if !spec.inputs.iter().chain(&spec.outputs).all(joined) {
        return Ok(false);
    }
    let names: Vec<(String, Dtype)> = spec.outputs.iter().map(|s| (s.name.clone(), s.dtype)).collect();
    let mut session = Loose::open(runtime, onnx, &spec.inputs, &names)?;
    for row in 0..ROWS {
        let alone = |map: &BTreeMap<String, Tensor>, spec: &TensorSpec| {
            let missing = || EngineError::Runtime(format!("`{}` has gone missing", spec.name));
            take(map.get(&spec.name).ok_or_else(missing)?, row..row + 1)
        };
        let given = spec.inputs.iter().map(|s| alone(&golden.inputs, s)).collect::<Result<Vec<_>, _>>()?;
        // A graph that takes no single row is none whose rows can be served alone.
        let Ok(got) = run_caught(&mut session, &given) else { return Ok(false) };
        for (spec, got) in spec.outputs.iter().zip(&got) {
            if compare(&alone(&golden.outputs, spec)?, got, TOLERANCE).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn by_name(specs: &[TensorSpec], tensors: Vec<Tensor>) -> BTreeMap<String, Tensor> {
    specs.iter().map(|spec| spec.name.clone()).zip(tensors).collect()
}

fn random(inputs: &[TensorSpec], sizes: &Sizes) -> Result<Vec<Tensor>, EngineError> {
    let one = |(place, spec): (usize, &TensorSpec)| {
        let shape = sizes.of(&spec.shape);
        let count = shape.iter().product();
        let noise = seed::normal(SEED + place as u64, count);
        // No two rows are alike, and integers are of both kinds.
        let data = match spec.dtype {
            Dtype::F32 => TensorData::F32(noise.iter().map(|x| x.abs().fract()).collect()),
            Dtype::I64 => TensorData::I64(noise.iter().map(|x| i64::from(*x > 0.0)).collect()),
        };
        Tensor::new(shape, data).map_err(|e| EngineError::Package(format!("input `{}`: {e}", spec.name)))
    };
    inputs.iter().enumerate().map(one).collect()
}
