use atelier_package::{Dim, Dtype};

use super::*;

/// `a` f32 [batch, 2] and `b` i64 [batch] -> `sum`, `count`.
fn spec() -> GraphSpec {
    let tensor = |name: &str, dtype, shape: &[Dim]| TensorSpec::new(name, dtype, shape.to_vec());
    GraphSpec {
        name: "g".into(),
        file: "g.onnx".into(),
        inputs: vec![
            tensor("a", Dtype::F32, &["batch".into(), 2.into()]),
            tensor("b", Dtype::I64, &["batch".into()]),
        ],
        outputs: vec![
            tensor("sum", Dtype::F32, &["batch".into()]),
            tensor("count", Dtype::I64, &["batch".into()]),
        ],
        ..GraphSpec::default()
    }
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        ..Default::default()
    }
}

fn floats(values: &[f32]) -> Option<InferTensorContents> {
    Some(InferTensorContents { fp32_contents: values.to_vec(), ..Default::default() })
}

fn integers(values: &[i64]) -> Option<InferTensorContents> {
    Some(InferTensorContents { int64_contents: values.to_vec(), ..Default::default() })
}

fn bytes<const N: usize>(values: &[[u8; N]]) -> Bytes {
    values.concat().into()
}

/// In the other order than the graph's, as bytes.
fn raw() -> ModelInferRequest {
    ModelInferRequest {
        inputs: vec![input("b", "INT64", &[1]), input("a", "FP32", &[1, 2])],
        raw_input_contents: vec![
            bytes(&[7_i64.to_le_bytes()]),
            bytes(&[1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()]),
        ],
        ..Default::default()
    }
}

fn typed() -> ModelInferRequest {
    let mut request = ModelInferRequest { raw_input_contents: Vec::new(), ..raw() };
    request.inputs[0].contents = integers(&[7]);
    request.inputs[1].contents = floats(&[1.0, 2.0]);
    request
}

fn output(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor { name: name.into(), ..Default::default() }
}

fn refused(change: impl FnOnce(&mut ModelInferRequest), from: ModelInferRequest) -> String {
    let mut request = from;
    change(&mut request);
    Job::new(&spec(), request).unwrap_err().to_string()
}

#[test]
fn inputs_are_found_by_name_in_either_form() {
    let inputs = vec![Tensor::f32([1, 2], vec![1.0, 2.0]).unwrap(), Tensor::i64([1], vec![7]).unwrap()];
    for (request, raw) in [(raw(), true), (typed(), false)] {
        let job = Job::new(&spec(), request).unwrap();
        assert_eq!(job, Job { inputs: inputs.clone(), outputs: vec![0, 1], raw });
    }
}

#[test]
fn outputs_are_those_that_were_asked_for_in_that_order() {
    let request = ModelInferRequest { outputs: vec![output("count"), output("sum")], ..raw() };
    assert_eq!(Job::new(&spec(), request).unwrap().outputs, [1, 0]);
    let request = ModelInferRequest { outputs: vec![output("count")], ..raw() };
    assert_eq!(Job::new(&spec(), request).unwrap().outputs, [1]);
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    type Change = fn(&mut ModelInferRequest);
    let cases: [(Change, &str); 12] = [
        (
            |r| r.inputs[0].name = "c".into(),
            "inputs[0].name: is \"c\", but the model takes: a (FP32 [batch, 2]), b (INT64 [batch])",
        ),
        (|r| r.inputs[0].name = "a".into(), "inputs.a: is there twice"),
        (
            |r| {
                r.inputs.pop();
                r.raw_input_contents.pop();
            },
            "inputs.a: is missing, but FP32 [batch, 2] is needed",
        ),
        (|r| r.inputs[1].datatype = "FP16".into(), "inputs.a.datatype: is \"FP16\", but FP32 is right"),
        (|r| r.inputs[1].shape = vec![1, 3], "inputs.a.shape: is [1, 3], but [batch, 2] is right"),
        (|r| r.inputs[1].shape = vec![2], "inputs.a.shape: is [2], but [batch, 2] is right"),
        (
            |r| r.inputs[1].shape = vec![-1, 2],
            "inputs.a.shape: is [-1, 2], but [batch, 2] is right, none of them below 0",
        ),
        (
            |r| r.inputs[0].shape = vec![2],
            "inputs.b.shape: is [2], but [batch] is right, with batch = 1 as in the tensors before it",
        ),
        (
            |r| r.raw_input_contents[1] = Bytes::from_static(&[0; 7]),
            "raw_input_contents[1] (a): has 7 bytes, but FP32 [1, 2] has 8 (2 of 4 each)",
        ),
        (
            |r| r.raw_input_contents.push(Bytes::new()),
            "raw_input_contents: has 3 entries, but there are 2 inputs",
        ),
        (
            |r| r.inputs[1].contents = floats(&[1.0, 2.0]),
            "inputs.a.contents: is there together with raw_input_contents; one of them is right",
        ),
        (
            |r| r.outputs = vec![output("product")],
            "outputs[0].name: is \"product\", but the model gives: sum, count",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(change, raw()), expected);
    }
    assert_eq!(
        refused(|r| r.outputs = vec![output("sum"), output("sum")], raw()),
        "outputs.sum: is there twice"
    );
    assert_eq!(
        refused(|r| r.inputs[1].contents = None, typed()),
        "inputs.a.contents: is missing, and so is raw_input_contents; one of them is right"
    );
    assert_eq!(
        refused(|r| r.inputs[1].contents = floats(&[1.0]), typed()),
        "inputs.a.contents.fp32_contents: has 1 elements, but shape [1, 2] has 2"
    );
    assert_eq!(
        refused(|r| r.inputs[1].contents = integers(&[1, 2]), typed()),
        "inputs.a.contents.int64_contents: is filled, but the elements of a tensor of FP32 are in fp32_contents"
    );
}

/// A shape that claims more than can be counted reserves nothing and overflows nothing.
#[test]
fn a_shape_of_more_elements_than_there_are_bytes_is_refused_before_any_are_reserved() {
    let huge = refused(|r| r.inputs[1].shape = vec![i64::MAX, 2], raw());
    assert!(huge.starts_with("raw_input_contents[1] (a): has 8 bytes, but FP32"), "{huge}");
    let mut wide = spec();
    wide.inputs[0].shape[1] = 1000.into();
    let mut request = raw();
    request.inputs[1].shape = vec![i64::MAX, 1000];
    let uncounted = Job::new(&wide, request).unwrap_err().to_string();
    assert!(uncounted.ends_with("but [batch, 1000] is right, of fewer elements"), "{uncounted}");
    let large = refused(|r| r.inputs[1].shape = vec![1 << 40, 2], raw());
    assert!(large.starts_with("raw_input_contents[1] (a): has 8 bytes, but FP32"), "{large}");
    assert!(refused(|r| r.inputs[0].shape = vec![0], raw()).contains("inputs.b.shape"));
}
