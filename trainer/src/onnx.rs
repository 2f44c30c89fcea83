//! Building ONNX files: the messages, and a graph that grows node by node.

use std::collections::HashSet;

use atelier_package::{Dim, Dtype, TensorSpec};
use prost::Message;

/// The messages of the format, wire-compatible with onnx.proto.
#[allow(missing_docs, unreachable_pub)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

use proto::attribute_proto::Type;
use proto::tensor_proto::DataType;
use proto::tensor_shape_proto::{Dimension, dimension};
use proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// Version of the default operator set that we write.
pub const OPSET: i64 = 18;
/// Version of the file format that came with that operator set.
pub const IR_VERSION: i64 = 8;

/// Parameters in a file of ours: the numbers of its f32 tensors, without lone numbers, which are constants.
///
/// # Errors
/// The bytes are no ONNX file.
pub fn parameters(file: &[u8]) -> Result<usize, prost::DecodeError> {
    let graph = ModelProto::decode(file)?.graph.unwrap_or_default();
    let tensors = graph.initializer.iter().filter(|t| t.data_type() == DataType::Float && !t.dims.is_empty());
    Ok(tensors.map(|t| t.dims.iter().product::<i64>() as usize).sum())
}

/// An attribute's value.
pub enum Attribute {
    /// `INT`.
    Int(i64),
    /// `INTS`.
    Ints(Vec<i64>),
    /// `STRING`.
    Text(&'static str),
}

/// A graph under construction.
#[derive(Default)]
pub struct Graph {
    graph: GraphProto,
    initializers: HashSet<String>,
    counter: usize,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.to_owned(), ..GraphProto::default() }, ..Self::default() }
    }

    /// Declares an input.
    pub fn input(&mut self, spec: &TensorSpec) {
        self.graph.input.push(value_info(spec));
    }

    /// Declares `value` an output under the spec's name.
    pub fn output(&mut self, value: &str, spec: &TensorSpec) {
        // A value has one name: an output that is called something else is that value, passed on.
        self.graph.node.push(NodeProto {
            input: vec![value.to_owned()],
            output: vec![spec.name.clone()],
            name: format!("Identity_{}", spec.name),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
        self.graph.output.push(value_info(spec));
    }

    /// Adds a node with `outputs` results and returns their names.
    pub fn node(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<(&'static str, Attribute)>,
        outputs: usize,
    ) -> Vec<String> {
        let id = self.counter;
        self.counter += 1;
        let names: Vec<String> = (0..outputs).map(|i| format!("{}_{id}_{i}", op.to_lowercase())).collect();
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&s| s.to_owned()).collect(),
            output: names.clone(),
            name: format!("{op}_{id}"),
            op_type: op.to_owned(),
            attribute: attributes.into_iter().map(attribute).collect(),
        });
        names
    }

    /// Adds f32 numbers under a name; the same name again is the same numbers and adds nothing.
    pub fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name, shape, DataType::Float, bytes);
    }

    /// Adds i64 numbers under a name, as [`Graph::floats`].
    pub fn integers(&mut self, name: &str, shape: &[usize], data: &[i64]) {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name, shape, DataType::Int64, bytes);
    }

    fn initializer(&mut self, name: &str, shape: &[usize], kind: DataType, raw_data: Vec<u8>) {
        if self.initializers.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                dims: shape.iter().map(|&n| n as i64).collect(),
                data_type: kind.into(),
                name: name.to_owned(),
                raw_data,
            });
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "atelier-train".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        }
        .encode_to_vec()
    }
}

fn attribute((name, value): (&'static str, Attribute)) -> AttributeProto {
    let empty = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    match value {
        Attribute::Int(i) => AttributeProto { i, r#type: Type::Int.into(), ..empty },
        Attribute::Ints(ints) => AttributeProto { ints, r#type: Type::Ints.into(), ..empty },
        Attribute::Text(s) => {
            AttributeProto { s: s.as_bytes().to_vec(), r#type: Type::String.into(), ..empty }
        }
    }
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dim = spec
        .shape
        .iter()
        .map(|dim| Dimension {
            value: Some(match dim {
                Dim::Fixed(n) => dimension::Value::DimValue(*n as i64),
                Dim::Symbol(name) => dimension::Value::DimParam(name.clone()),
            }),
        })
        .collect();
    let elem_type = match spec.dtype {
        Dtype::F32 => DataType::Float,
        Dtype::I64 => DataType::Int64,
    };
    let tensor = type_proto::Tensor { elem_type: elem_type.into(), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: spec.name.clone(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_once_and_neither_constants_nor_shapes() {
        let mut graph = Graph::new("g");
        graph.floats("weight", &[2, 3], &[0.5; 6]);
        graph.floats("weight", &[2, 3], &[0.5; 6]);
        graph.floats("bias", &[3], &[0.5; 3]);
        graph.floats("f32.2", &[], &[2.0]);
        graph.integers("i64.[-1,6]", &[2], &[-1, 6]);
        assert_eq!(parameters(&graph.encode()).unwrap(), 9);
        assert!(parameters(b"no graph").is_err());
    }
}
