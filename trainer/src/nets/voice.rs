//! A voice: a network that plans words, and one that says what is planned.

use atelier_package::DelayLines;
use atelier_transforms::speech::Condition;

use super::speech_planner::{SIDE, SpeechPlanner, SpeechPlannerConfig};
use super::wavenet::{Wavenet, WavenetConfig};
use crate::graphs::{GraphPlan, Graphs};
use crate::ops::Ops;
use crate::store::Store;

/// Both networks.
pub struct Voice {
    /// Says words, a sample at a time: it is told the rows of a [`Condition`], each followed by that of the plan.
    pub wavenet: Wavenet,
    /// Plans them: it is told the [`Condition`]'s words.
    pub planner: SpeechPlanner,
}

impl Voice {
    /// With fresh parameters in `store`.
    pub fn new(
        store: &mut Store,
        wavenet: &WavenetConfig,
        planner: &SpeechPlannerConfig,
        condition: &Condition,
    ) -> Self {
        Self {
            wavenet: Wavenet::new(store, wavenet, Self::told(condition)),
            planner: SpeechPlanner::new(store, planner, condition.word_width()),
        }
    }

    /// Numbers that the WaveNet is told in a frame.
    #[must_use]
    pub fn told(condition: &Condition) -> usize {
        condition.width() + SIDE
    }
}

impl Graphs for Voice {
    fn plans(&self) -> Vec<GraphPlan> {
        let mut plans = Graphs::plans(&self.wavenet);
        plans.extend(Graphs::plans(&self.planner));
        plans
    }

    fn delays(&self, graph: &str) -> Vec<DelayLines> {
        if graph == "step" { Graphs::delays(&self.wavenet, graph) } else { Vec::new() }
    }

    fn run<O: Ops>(&self, graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        if graph == "step" {
            self.wavenet.run(graph, ops, inputs)
        } else {
            self.planner.run(graph, ops, inputs)
        }
    }
}
