//! The graphs that a network is exported as: one definition, run on libtorch or recorded as ONNX.

use atelier_package::{DelayLines, TensorSpec};
use tch::Tensor;

use crate::ops::Ops;
use crate::ops::eager::Eager;
use crate::ops::export::{Export, Exported};

/// What goes in and out of one graph.
pub struct GraphPlan {
    /// What services call it.
    pub name: &'static str,
    /// Inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order, each with the range of its values if it is limited to one.
    pub outputs: Vec<(&'static str, Option<[f64; 2]>)>,
    /// For a step graph: which input takes which output of the step before.
    pub state: Vec<(&'static str, &'static str)>,
}

/// A network's graphs.
pub trait Graphs {
    /// All of them.
    fn plans(&self) -> Vec<GraphPlan>;

    /// The delay lines of one of them, if it is a step graph that has some.
    fn delays(&self, _graph: &str) -> Vec<DelayLines> {
        Vec::new()
    }

    /// Runs one of them: inputs and outputs in the order of its plan.
    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor>;
}

/// [`Graphs`] for those who do not know the network.
pub trait Exportable {
    /// All graphs.
    fn plans(&self) -> Vec<GraphPlan>;
    /// The delay lines of one.
    fn delays(&self, graph: &str) -> Vec<DelayLines>;
    /// Runs one on libtorch, without gradients.
    fn eager(&self, plan: &GraphPlan, inputs: &[Tensor]) -> Vec<Tensor>;
    /// Records one as ONNX.
    fn export(&self, plan: &GraphPlan) -> Exported;
}

impl<G: Graphs> Exportable for G {
    fn plans(&self) -> Vec<GraphPlan> {
        Graphs::plans(self)
    }

    fn delays(&self, graph: &str) -> Vec<DelayLines> {
        Graphs::delays(self, graph)
    }

    fn eager(&self, plan: &GraphPlan, inputs: &[Tensor]) -> Vec<Tensor> {
        tch::no_grad(|| self.run(plan.name, &mut Eager::exact(), inputs))
    }

    fn export(&self, plan: &GraphPlan) -> Exported {
        let mut export = Export::new(plan.name);
        let inputs: Vec<_> = plan.inputs.iter().map(|spec| export.input(spec.clone())).collect();
        let outputs = self.run(plan.name, &mut export, &inputs);
        for (value, (name, range)) in outputs.iter().zip(&plan.outputs) {
            export.output(name, value, *range);
        }
        for (input, output) in &plan.state {
            export.carries(input, output);
        }
        export.finish()
    }
}
