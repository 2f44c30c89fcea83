//! Every operation of `Ops`, exported alone, gives on ONNX Runtime what libtorch gives.

use atelier_package::{Dim, Dtype, TensorSpec};
use atelier_trainer::export::parity;
use atelier_trainer::graphs::{Exportable, GraphPlan, Graphs};
use atelier_trainer::layers::{
    ClassNorm, Conv2d, ConvTranspose2d, Embedding, Linear, Lstm, Matrices, Matrix,
};
use atelier_trainer::ops::Ops;
use atelier_trainer::store::Store;
use tch::{Device, Kind, Tensor};

use crate::support::runtime;

/// All operations as graphs of one "network": a graph an operation.
struct EachAlone {
    conv: Conv2d,
    strided: Conv2d,
    transposed: ConvTranspose2d,
    class_norm: ClassNorm,
    linear: Linear,
    matrix: Matrix,
    matrices: Matrices,
    embedding: Embedding,
    lstm: Lstm,
}

fn image() -> TensorSpec {
    let shape = [Dim::from(Dim::BATCH), Dim::Fixed(4), Dim::Fixed(6), Dim::Fixed(8)];
    TensorSpec::new("image", Dtype::F32, shape)
}

fn steps() -> TensorSpec {
    TensorSpec::new("x", Dtype::F32, [Dim::from(Dim::BATCH), Dim::Fixed(6), Dim::Fixed(7)])
}

fn row(name: &str, width: usize) -> TensorSpec {
    TensorSpec::new(name, Dtype::F32, [Dim::from(Dim::BATCH), Dim::Fixed(width)])
}

impl Graphs for EachAlone {
    fn plans(&self) -> Vec<GraphPlan> {
        let number = TensorSpec::new("number", Dtype::F32, [Dim::from(Dim::BATCH)]);
        let ids = TensorSpec::new("ids", Dtype::I64, [Dim::from(Dim::BATCH)]).with_range(0.0, 9.0);
        let state =
            TensorSpec::new("state", Dtype::F32, [Dim::Fixed(2), Dim::from(Dim::BATCH), Dim::Fixed(5)]);
        let plan = |name, inputs| GraphPlan { name, inputs, outputs: vec![("out", None)], state: vec![] };
        vec![
            plan("conv2d", vec![image()]),
            plan("conv2d_strided", vec![image()]),
            plan("conv_transpose2d", vec![image()]),
            plan("class_norm", vec![image(), ids.clone()]),
            plan("linear", vec![row("x", 7)]),
            plan("multiply_add", vec![row("x", 7), row("y", 3)]),
            plan("multiply_each", vec![steps()]),
            plan("embedding", vec![ids]),
            plan("lstm_gates", vec![row("x", 7), row("h", 5)]),
            plan("linear_steps", vec![steps()]),
            plan("lstm", vec![steps()]),
            plan("lstm_backwards", vec![steps()]),
            plan("repeat", vec![row("x", 7)]),
            plan("relu", vec![row("x", 7)]),
            plan("sigmoid", vec![row("x", 7)]),
            plan("exp", vec![row("x", 7)]),
            plan("tanh", vec![row("x", 7)]),
            plan("sin", vec![row("x", 7)]),
            plan("softmax", vec![row("x", 7)]),
            plan("mean_pixels", vec![image()]),
            plan("instance_norm", vec![image()]),
            plan("add", vec![row("x", 7), row("y", 7)]),
            plan("add_broadcast", vec![image(), number.clone()]),
            plan("sub", vec![row("x", 7), row("y", 7)]),
            plan("mul", vec![row("x", 7), row("y", 7)]),
            plan("clamp", vec![row("x", 7)]),
            plan("affine", vec![row("x", 7)]),
            plan("average_pool", vec![image()]),
            plan("concat", vec![row("x", 7), row("y", 5)]),
            plan("split", vec![row("x", 7)]),
            plan("reshape_rows", vec![image()]),
            plan("select", vec![state.clone()]),
            plan("stack", vec![row("x", 7), row("y", 7)]),
            plan("fill_rows", vec![row("x", 7)]),
            plan("mirror", vec![image()]),
            plan("plane", vec![number]),
            plan("pixel_unshuffle", vec![image()]),
            plan("pixel_shuffle", vec![image()]),
        ]
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let x = &inputs[0];
        let out = match graph {
            "conv2d" => ops.conv2d(x, &self.conv),
            "conv2d_strided" => ops.conv2d(x, &self.strided),
            "conv_transpose2d" => ops.conv_transpose2d(x, &self.transposed),
            "class_norm" => ops.class_norm(x, &inputs[1], &self.class_norm),
            "linear" => ops.linear(x, &self.linear),
            "multiply_add" => ops.multiply_add(x, &self.matrix, &inputs[1]),
            "multiply_each" => ops.multiply_each(x, &self.matrices),
            "embedding" => ops.embedding(x, &self.embedding),
            "lstm_gates" => ops.lstm_gates(x, &inputs[1], &self.lstm),
            "linear_steps" => ops.linear(x, &self.linear),
            "lstm" => ops.lstm(x, &self.lstm, false),
            "lstm_backwards" => ops.lstm(x, &self.lstm, true),
            "repeat" => ops.repeat(x, 4),
            "relu" => ops.relu(x),
            "sigmoid" => ops.sigmoid(x),
            "exp" => ops.exp(x),
            "tanh" => ops.tanh(x),
            "sin" => ops.sin(x),
            "softmax" => ops.softmax(x),
            "instance_norm" => ops.instance_norm(x),
            "mean_pixels" => ops.mean_pixels(x),
            "add" => ops.add(x, &inputs[1]),
            "add_broadcast" => {
                let plane = ops.plane(&inputs[1], 6, 8);
                ops.add(&plane, x)
            }
            "sub" => ops.sub(x, &inputs[1]),
            "mul" => ops.mul(x, &inputs[1]),
            "clamp" => ops.clamp(x, -0.5, 0.25),
            "affine" => ops.affine(x, -1.5, 0.125),
            "average_pool" => ops.average_pool(x, 3, 2),
            "concat" => ops.concat(&[x, &inputs[1]], 1),
            "split" => {
                let mut parts = ops.split(x, &[1, 4, 2], 1);
                parts.remove(1)
            }
            "reshape_rows" => ops.reshape_rows(x, &[8, 24]),
            "select" => ops.select(x, 0, 1),
            "stack" => {
                let bounded = ops.tanh(x);
                let other = ops.tanh(&inputs[1]);
                ops.stack(&[bounded, other])
            }
            "fill_rows" => ops.fill_rows(x, 2.5),
            "mirror" => ops.mirror(x),
            "plane" => ops.plane(x, 3, 2),
            "pixel_unshuffle" => ops.pixel_unshuffle(x, 2),
            "pixel_shuffle" => ops.pixel_shuffle(x, 2),
            other => panic!("no graph {other}"),
        };
        vec![out]
    }
}

#[test]
fn every_operation_gives_on_onnx_runtime_what_libtorch_gives() {
    let mut store = Store::new(5, Device::Cpu);
    let network = EachAlone {
        conv: Conv2d::new(&mut store, "conv", 4, 3, 3, 1, 1.0),
        strided: Conv2d::new(&mut store, "strided", 4, 3, 3, 2, 1.0),
        transposed: ConvTranspose2d::new(&mut store, "transposed", 4, 3, 4, 2),
        class_norm: ClassNorm::new(&mut store, "class_norm", 10, 4),
        linear: Linear::new(&mut store, "linear", 7, 3),
        matrix: Matrix::new(&mut store, "matrix", 7, 3, 0.5),
        matrices: Matrices::new(&mut store, "matrices", 6, 7, 5, 0.5),
        embedding: Embedding::new(&mut store, "embedding", 10, 3),
        lstm: Lstm::new(&mut store, "lstm", 7, 5),
    };
    // Values that are not those at the start, where they would hide a mistake.
    tch::no_grad(|| {
        let norm = &network.class_norm;
        for (tensor, offset) in
            [(&norm.gain, 0.5), (&norm.shift, -1.0), (&norm.mean, 0.25), (&norm.variance, 0.1)]
        {
            let count = tensor.numel() as i64;
            let values = Tensor::arange(count, (Kind::Float, Device::Cpu)) / count as f64 + offset;
            tensor.shallow_clone().copy_(&values.reshape(tensor.size()));
        }
    });
    for plan in Graphs::plans(&network) {
        let exported = network.export(&plan);
        let parity = parity(runtime(), &network, &plan, &exported).unwrap();
        assert!(parity.max_error < 1e-5, "{parity:?}");
    }
}

/// Two different functions under one name: parity must not hold.
struct Unlike(std::cell::Cell<bool>);

impl Graphs for Unlike {
    fn plans(&self) -> Vec<GraphPlan> {
        vec![GraphPlan {
            name: "unlike",
            inputs: vec![row("x", 3)],
            outputs: vec![("out", None)],
            state: vec![],
        }]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        let factor = if self.0.replace(true) { 1.001 } else { 1.0 };
        vec![ops.affine(&inputs[0], factor, 0.0)]
    }
}

#[test]
fn an_export_that_differs_from_libtorch_is_refused_naming_graph_and_output() {
    let network = Unlike(std::cell::Cell::new(false));
    let plan = &Graphs::plans(&network)[0];
    let exported = network.export(plan);
    let error = parity(runtime(), &network, plan, &exported).unwrap_err().to_string();
    assert!(error.contains("unlike.out at batch 1: differs from libtorch"), "{error}");
}
