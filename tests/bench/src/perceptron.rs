//! A graph that only the benchmark has: a wide perceptron, 40 MB of weights.
//!
//! One row reads all the weights from memory for little arithmetic, 32 rows read them once: an image costs several
//! times less in a batch. A server that does not batch shows it here.

use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// The messages of the format, wire-compatible with onnx.proto.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

use proto::tensor_proto::DataType;
use proto::tensor_shape_proto::{Dimension, dimension::Value};

/// Values that go in, those between, and those that come out: 10,354,688 weights.
const WIDTHS: [usize; 5] = [512, 2048, 2048, 2048, 384];

/// The graph as a file: `x [batch, 512] -> y [batch, 384]`, ReLU between the layers, weights from this seed.
pub(crate) fn perceptron(seed: u64) -> Vec<u8> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let layers = WIDTHS.len() - 1;
    let (mut node, mut initializer) = (Vec::new(), Vec::new());
    let mut value = "x".to_owned();
    for (layer, width) in WIDTHS.windows(2).enumerate() {
        let &[from, to] = width else { continue };
        // Uniform with the variance that keeps that of the values through a ReLU (He).
        let bound = (6.0 / from as f32).sqrt();
        let weights = (0..from * to).flat_map(|_| random.random_range(-bound..bound).to_le_bytes()).collect();
        initializer.push(tensor(format!("weight{layer}"), &[from, to], weights));
        initializer.push(tensor(format!("bias{layer}"), &[to], vec![0; 4 * to]));
        let sum = if layer + 1 == layers { "y".to_owned() } else { format!("sum{layer}") };
        let inputs = [value, format!("weight{layer}"), format!("bias{layer}")];
        node.push(operator("Gemm", &inputs, &sum));
        value = sum;
        if layer + 1 < layers {
            let above = format!("above{layer}");
            node.push(operator("Relu", &[value], &above));
            value = above;
        }
    }
    let graph = proto::GraphProto {
        node,
        name: "perceptron".into(),
        initializer,
        input: vec![outlet("x", WIDTHS[0])],
        output: vec![outlet("y", WIDTHS[layers])],
    };
    proto::ModelProto {
        ir_version: 10,
        producer_name: "atelier-bench".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSetIdProto { domain: String::new(), version: 21 }],
    }
    .encode_to_vec()
}

fn operator(kind: &str, inputs: &[String], output: &str) -> proto::NodeProto {
    proto::NodeProto {
        input: inputs.to_vec(),
        output: vec![output.into()],
        name: output.into(),
        op_type: kind.into(),
        attribute: Vec::new(),
    }
}

fn tensor(name: String, sizes: &[usize], raw_data: Vec<u8>) -> proto::TensorProto {
    let dims = sizes.iter().map(|size| *size as i64).collect();
    proto::TensorProto { dims, data_type: DataType::Float.into(), name, raw_data }
}

fn outlet(name: &str, width: usize) -> proto::ValueInfoProto {
    let dim = |value| Dimension { value: Some(value) };
    let dim = vec![dim(Value::DimParam("batch".into())), dim(Value::DimValue(width as i64))];
    let shape = Some(proto::TensorShapeProto { dim });
    let tensor = proto::type_proto::Tensor { elem_type: DataType::Float.into(), shape };
    proto::ValueInfoProto { name: name.into(), r#type: Some(proto::TypeProto { tensor_type: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_weights_are_forty_megabytes_and_follow_from_the_seed() {
        let file = perceptron(1);
        assert!((40_000_000..45_000_000).contains(&file.len()), "{} bytes", file.len());
        assert_eq!(file, perceptron(1));
        assert_ne!(file, perceptron(2));
    }
}
