//! Records networks as ONNX graphs.

mod operations;

use atelier_package::{Dim, Dtype, StatePair, TensorSpec};
use tch::Tensor;

use super::eager::to_vec;
use crate::onnx::{Attribute, Graph};

/// A value in a graph: its name and shape.
#[derive(Clone, Debug)]
pub struct Value {
    name: String,
    shape: Vec<Dim>,
}

impl Value {
    fn fixed(&self, axis: usize) -> usize {
        match &self.shape[axis] {
            Dim::Fixed(n) => *n,
            Dim::Symbol(s) => {
                panic!("axis {axis} of {} is {s}, the network needs a fixed size there", self.name)
            }
        }
    }
}

/// Records a network's operations as an ONNX graph, parameters as initializers.
///
/// Feed it the values that [`Export::input`] returns, hand results to [`Export::output`], and take the
/// finished graph with [`Export::finish`].
pub struct Export {
    name: &'static str,
    graph: Graph,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    state: Vec<StatePair>,
}

/// A finished graph: its bytes and what the package says of it.
#[derive(Debug)]
pub struct Exported {
    /// What services call it.
    pub name: &'static str,
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// Which outputs are the next step's inputs.
    pub state: Vec<StatePair>,
}

impl Export {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, graph: Graph::new(name), inputs: Vec::new(), outputs: Vec::new(), state: Vec::new() }
    }

    /// Declares an input.
    pub fn input(&mut self, spec: TensorSpec) -> Value {
        self.graph.input(&spec);
        let value = Value { name: spec.name.clone(), shape: spec.shape.clone() };
        self.inputs.push(spec);
        value
    }

    /// Declares a value an f32 output, with the range that it can have, if it has one.
    pub fn output(&mut self, name: &str, value: &Value, range: Option<[f64; 2]>) {
        let spec = TensorSpec { name: name.to_owned(), dtype: Dtype::F32, shape: value.shape.clone(), range };
        self.graph.output(&value.name, &spec);
        self.outputs.push(spec);
    }

    /// Declares that `output` of one step is `input` of the next.
    pub fn carries(&mut self, input: &str, output: &str) {
        self.state.push(StatePair { input: input.to_owned(), output: output.to_owned() });
    }

    /// The finished graph.
    #[must_use]
    pub fn finish(self) -> Exported {
        Exported {
            name: self.name,
            onnx: self.graph.encode(),
            inputs: self.inputs,
            outputs: self.outputs,
            state: self.state,
        }
    }

    fn one(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<(&'static str, Attribute)>,
        shape: Vec<Dim>,
    ) -> Value {
        let mut names = self.graph.node(op, inputs, attributes, 1);
        Value { name: names.remove(0), shape }
    }

    fn unary(&mut self, op: &'static str, x: &Value) -> Value {
        self.one(op, &[&x.name], vec![], x.shape.clone())
    }

    fn binary(&mut self, op: &'static str, a: &Value, b: &Value) -> Value {
        assert_eq!(a.shape.len(), b.shape.len(), "{op} of {a:?} and {b:?}");
        let shape =
            a.shape.iter().zip(&b.shape).map(|(x, y)| if *x == Dim::Fixed(1) { y } else { x }).cloned();
        let shape = shape.collect();
        self.one(op, &[&a.name, &b.name], vec![], shape)
    }

    fn parameter(&mut self, layer: &str, part: &str, value: &Tensor) -> String {
        let name = format!("{layer}.{part}");
        let shape: Vec<usize> = value.size().iter().map(|&n| n as usize).collect();
        self.graph.floats(&name, &shape, &to_vec(value));
        name
    }

    fn scalar(&mut self, value: f32) -> String {
        let name = format!("f32.{value}");
        self.graph.floats(&name, &[], &[value]);
        name
    }

    fn list(&mut self, values: &[i64]) -> String {
        let joined: Vec<String> = values.iter().map(ToString::to_string).collect();
        let name = format!("i64.[{}]", joined.join(","));
        self.graph.integers(&name, &[values.len()], values);
        name
    }

    /// Reshapes to `[batch, row…]`.
    fn rows(&mut self, x: &Value, row: &[usize]) -> Value {
        let mut target = vec![-1];
        target.extend(row.iter().map(|&n| n as i64));
        let target = self.list(&target);
        let mut shape = vec![Dim::from(Dim::BATCH)];
        shape.extend(row.iter().map(|&n| Dim::Fixed(n)));
        self.one("Reshape", &[&x.name, &target], vec![], shape)
    }

    fn transpose<const N: usize>(&mut self, x: &Value, order: [i64; N]) -> Value {
        let shape = order.iter().map(|&axis| x.shape[axis as usize].clone()).collect();
        self.one("Transpose", &[&x.name], vec![("perm", Attribute::Ints(order.to_vec()))], shape)
    }
}
