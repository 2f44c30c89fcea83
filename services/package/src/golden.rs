//! `golden.safetensors`: inputs of every graph with the outputs that the trainer saw for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use safetensors::tensor::{SafeTensors, TensorView};

use crate::error::FieldError;
use crate::manifest::Manifest;
use crate::manifest::spec::{Bindings, TensorSpec};
use crate::tensor::{Dtype, Tensor};

/// How far an output may be off: `|actual - expected| <= tolerance * (1 + |expected|)`.
pub const DEFAULT_TOLERANCE: f32 = 1e-4;

const TOLERANCE_KEY: &str = "tolerance";

/// The tensors of one graph by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GoldenCase {
    /// What goes in.
    pub inputs: BTreeMap<String, Tensor>,
    /// What came out on the machine that wrote the package.
    pub outputs: BTreeMap<String, Tensor>,
}

/// Inputs and outputs of every graph of a package, and how closely a server must meet them.
///
/// In the file the keys are `GRAPH/in/NAME` and `GRAPH/out/NAME`, and the metadata holds `tolerance`.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// See [`DEFAULT_TOLERANCE`].
    pub tolerance: f32,
    /// By graph.
    pub cases: BTreeMap<String, GoldenCase>,
}

impl Default for Golden {
    fn default() -> Self {
        Self { tolerance: DEFAULT_TOLERANCE, cases: BTreeMap::new() }
    }
}

impl Golden {
    /// Reads the bytes of a `golden.safetensors`. The error is one line for people.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|e| format!("is no safetensors file: {e}"))?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(TOLERANCE_KEY));
        let tolerance = match text {
            None => DEFAULT_TOLERANCE,
            Some(t) => t.parse().ok().filter(|t: &f32| t.is_finite() && (0.0..=0.1).contains(t)).ok_or_else(
                || {
                    format!(
                        "tolerance: is `{}`, but a number from 0 to 0.1 is right",
                        crate::name::shorten(t)
                    )
                },
            )?,
        };
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| format!("is no safetensors file: {e}"))?;
        let mut cases: BTreeMap<String, GoldenCase> = BTreeMap::new();
        for (key, view) in tensors.iter() {
            let mut parts = key.splitn(3, '/');
            let (graph, side, name) = (parts.next(), parts.next(), parts.next());
            let (Some(graph), Some(side @ ("in" | "out")), Some(name)) = (graph, side, name) else {
                let key = crate::name::shorten(key);
                return Err(format!("{key}: is no key: GRAPH/in/NAME and GRAPH/out/NAME are"));
            };
            let tensor = read_tensor(&view).map_err(|e| format!("{key}: {e}"))?;
            let case = cases.entry(graph.to_owned()).or_default();
            let map = if side == "in" { &mut case.inputs } else { &mut case.outputs };
            map.insert(name.to_owned(), tensor);
        }
        Ok(Self { tolerance, cases })
    }

    /// The bytes of a `golden.safetensors`. The error is one line for people.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut entries = Vec::new();
        for (graph, case) in &self.cases {
            for (side, map) in [("in", &case.inputs), ("out", &case.outputs)] {
                for (name, tensor) in map {
                    entries.push((format!("{graph}/{side}/{name}"), tensor, tensor.to_le_bytes()));
                }
            }
        }
        let mut views = Vec::with_capacity(entries.len());
        for (key, tensor, bytes) in &entries {
            let dtype = match tensor.dtype() {
                Dtype::F32 => safetensors::Dtype::F32,
                Dtype::I64 => safetensors::Dtype::I64,
            };
            let view =
                TensorView::new(dtype, tensor.shape().to_vec(), bytes).map_err(|e| format!("{key}: {e}"))?;
            views.push((key.as_str(), view));
        }
        let metadata = HashMap::from([(TOLERANCE_KEY.to_owned(), self.tolerance.to_string())]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
    }

    /// Whether there is a case for each graph of the manifest, with just its tensors, each fitting its spec.
    pub fn check(&self, manifest: &Manifest) -> Result<(), FieldError> {
        let known: BTreeSet<&str> = manifest.graphs.iter().map(|g| g.name.as_str()).collect();
        if let Some(graph) = self.cases.keys().find(|g| !known.contains(g.as_str())) {
            return Err(FieldError::new(crate::name::shorten(graph), "is no graph of package.toml"));
        }
        for graph in &manifest.graphs {
            let Some(case) = self.cases.get(&graph.name) else {
                return Err(FieldError::new(&graph.name, "there is no golden input for this graph"));
            };
            let mut bindings = Bindings::new();
            check_side(&format!("{}/in", graph.name), &graph.inputs, &case.inputs, &mut bindings)?;
            for spec in &graph.inputs {
                if let Some(tensor) = case.inputs.get(&spec.name) {
                    spec.check_values(tensor).map_err(|e| {
                        FieldError::new(format!("{}/in/{}", graph.name, spec.name), e.to_string())
                    })?;
                }
            }
            check_side(&format!("{}/out", graph.name), &graph.outputs, &case.outputs, &mut bindings)?;
        }
        Ok(())
    }
}

fn check_side(
    at: &str,
    specs: &[TensorSpec],
    tensors: &BTreeMap<String, Tensor>,
    bindings: &mut Bindings,
) -> Result<(), FieldError> {
    for spec in specs {
        let field = || format!("{at}/{}", spec.name);
        let tensor = tensors.get(&spec.name).ok_or_else(|| FieldError::new(field(), "is missing"))?;
        spec.check_shape(tensor, bindings).map_err(|e| FieldError::new(field(), e.to_string()))?;
        if tensor.as_f32().is_some_and(|v| v.iter().any(|x| !x.is_finite())) {
            return Err(FieldError::new(field(), "has elements that are not finite"));
        }
    }
    match tensors.keys().find(|k| !specs.iter().any(|s| s.name == **k)) {
        Some(k) => {
            Err(FieldError::new(format!("{at}/{}", crate::name::shorten(k)), "is not in package.toml"))
        }
        None => Ok(()),
    }
}

fn read_tensor(view: &TensorView<'_>) -> Result<Tensor, String> {
    let dtype = match view.dtype() {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::I64 => Dtype::I64,
        other => return Err(format!("is of type {other:?}, but F32 and I64 are right")),
    };
    Tensor::from_le_bytes(dtype, view.shape(), view.data()).map_err(|e| e.to_string())
}

/// How two tensors that should be equal differ.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// Not even the same type and shape.
    #[error("is {actual}, but {expected} is right")]
    Shape {
        /// Type and shape of the tensor that should be.
        expected: String,
        /// Type and shape of the tensor that is.
        actual: String,
    },
    /// An element is further off than the tolerance allows.
    #[error(
        "element {index} is {actual}, but {expected} is right (tolerance {tolerance}, relative and absolute)"
    )]
    Element {
        /// Where, row-major.
        index: usize,
        /// What should be.
        expected: f64,
        /// What is.
        actual: f64,
        /// How far off it might be.
        tolerance: f32,
    },
}

/// Compares an output with the golden one; returns the greatest absolute difference.
///
/// Floats may be off by `tolerance * (1 + |expected|)`, and a NaN is never right; integers must be equal.
pub fn compare(expected: &Tensor, actual: &Tensor, tolerance: f32) -> Result<f64, Mismatch> {
    if expected.dtype() != actual.dtype() || expected.shape() != actual.shape() {
        let text = |t: &Tensor| format!("{} {:?}", t.dtype(), t.shape());
        return Err(Mismatch::Shape { expected: text(expected), actual: text(actual) });
    }
    let mut worst = 0.0_f64;
    if let (Some(e), Some(a)) = (expected.as_f32(), actual.as_f32()) {
        for (index, (e, a)) in e.iter().zip(a).enumerate() {
            let (e, a) = (f64::from(*e), f64::from(*a));
            let off = (a - e).abs();
            // Written so that a NaN on either side fails.
            let close = off <= f64::from(tolerance) * (1.0 + e.abs());
            if !close {
                return Err(Mismatch::Element { index, expected: e, actual: a, tolerance });
            }
            worst = worst.max(off);
        }
    }
    if let (Some(e), Some(a)) = (expected.as_i64(), actual.as_i64())
        && let Some((index, (e, a))) = e.iter().zip(a).enumerate().find(|(_, (e, a))| e != a)
    {
        return Err(Mismatch::Element { index, expected: *e as f64, actual: *a as f64, tolerance: 0.0 });
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_relative_and_absolute_and_nan_is_never_close() {
        let t = |v: &[f32]| Tensor::f32([v.len()], v.to_vec()).unwrap();
        assert!(compare(&t(&[0.0, 1000.0]), &t(&[0.9e-4, 1000.09]), 1e-4).is_ok());
        assert!(compare(&t(&[0.0]), &t(&[1.1e-4]), 1e-4).is_err());
        assert!(compare(&t(&[0.0]), &t(&[f32::NAN]), 1e-4).is_err());
        assert!(compare(&t(&[0.0]), &t(&[0.0, 0.0]), 1e-4).is_err());
        let i = |v: i64| Tensor::i64([1], vec![v]).unwrap();
        assert!(compare(&i(3), &i(4), 1.0).is_err());
    }

    #[test]
    fn bytes_and_back_are_the_same_golden() {
        let mut golden = Golden { tolerance: 2e-3, ..Golden::default() };
        let case = golden.cases.entry("step".into()).or_default();
        case.inputs.insert("token".into(), Tensor::i64([2], vec![1, 2]).unwrap());
        case.outputs.insert("a/b".into(), Tensor::f32([1, 1], vec![0.5]).unwrap());
        assert_eq!(Golden::from_bytes(&golden.to_bytes().unwrap()).unwrap(), golden);
    }
}
