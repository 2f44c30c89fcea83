//! Graphs of which nothing is known but their bytes.

use std::collections::BTreeMap;

use atelier_engine::import::{Imported, import};
use atelier_engine::{EngineError, Runtime};
use atelier_package::{GraphSpec, TensorSpec};

use crate::support::packages;

fn imported(name: &str, fixed: &[(&str, usize)]) -> (GraphSpec, Result<Imported, EngineError>) {
    let package = packages().into_iter().find(|package| package.name().as_str() == name).unwrap();
    let spec = package.manifest().graphs[0].clone();
    let onnx = package.graph_bytes(&spec.name).unwrap();
    let fixed: BTreeMap<String, usize> = fixed.iter().map(|(dim, size)| ((*dim).to_owned(), *size)).collect();
    (spec, import(Runtime::load(None).unwrap(), &onnx, &fixed))
}

fn shapes(specs: &[TensorSpec]) -> Vec<String> {
    specs.iter().map(|spec| format!("{} {} {}", spec.name, spec.dtype, spec.shape_text())).collect()
}

#[test]
fn a_graph_is_found_to_be_what_its_package_says() {
    for name in ["conv", "lookup", "mlp"] {
        let (said, found) = imported(name, &[]);
        let found = found.unwrap();
        assert_eq!(shapes(&found.spec.inputs), shapes(&said.inputs), "{name}");
        assert_eq!(shapes(&found.spec.outputs), shapes(&said.outputs), "{name}");
        assert!(found.joined, "{name}");
        let outputs = &found.golden.outputs[&said.outputs[0].name];
        assert_eq!(outputs.shape()[0], 3, "{name}: rows to tell apart");
    }
}

/// The state of the network has its batch second: its requests are none to join row by row.
#[test]
fn a_graph_of_another_form_is_served_as_it_is() {
    let found = imported("rnn", &[]).1.unwrap();
    assert!(!found.joined);
    let inputs = shapes(&found.spec.inputs);
    assert_eq!(inputs[0], "token i64 [dim_batch]", "{inputs:?}");
    assert_eq!(inputs[1], "h f32 [2, dim_batch, 16]", "{inputs:?}");
    assert_eq!(shapes(&found.spec.outputs)[0], "logits f32 [dim_batch, 7]");
}

#[test]
fn an_open_dimension_can_be_fixed_by_its_name() {
    let found = imported("mlp", &[("batch", 5)]).1.unwrap();
    assert_eq!((shapes(&found.spec.inputs)[0].as_str(), found.joined), ("x f32 [5, 24]", false));
    assert_eq!(shapes(&found.spec.outputs), ["y f32 [5, 10]"]);
    let error = imported("mlp", &[("height", 5)]).1.unwrap_err().to_string();
    assert_eq!(error, "height: is no dimension that the inputs leave open; there is: batch");
}

#[test]
fn what_is_no_graph_is_said() {
    let error = import(Runtime::load(None).unwrap(), b"no graph", &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, EngineError::Package(_)), "{error}");
}
