//! The slots of a decoder: who goes next, and the state of each between steps. No threads, no clocks.

use atelier_package::{Dim, Dtype, GraphSpec, Tensor};

use crate::EngineError;
use crate::rows::{Entry, copy_entry};

/// Where the parts of a step graph are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepShape {
    /// Which input is the token.
    token: usize,
    /// Which output is the logits.
    logits: usize,
    /// How many tokens there are.
    pub(crate) tokens: usize,
    states: Vec<StateShape>,
}

/// A state `[outer…, batch, inner…]` that goes from an output to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StateShape {
    input: usize,
    output: usize,
    before: Vec<usize>,
    after: Vec<usize>,
}

impl StateShape {
    fn entry(&self, axis: usize, index: usize) -> Entry {
        Entry { outer: self.before.iter().product(), axis, inner: self.after.iter().product(), index }
    }

    fn len(&self, axis: usize) -> usize {
        self.before.iter().chain(&self.after).product::<usize>() * axis
    }
}

impl StepShape {
    /// Reads a step graph: `token` i64 `[batch]` and f32 states in, `logits` f32 `[batch, V]` and the states
    /// out, and nothing else.
    pub(crate) fn of(spec: &GraphSpec) -> Result<Self, EngineError> {
        let wrong = |message: String| EngineError::Package(format!("graph `{}`: {message}", spec.name));
        let token = spec.inputs.iter().position(|s| {
            s.name == "token" && s.dtype == Dtype::I64 && s.shape.len() == 1 && s.batch_axis() == Some(0)
        });
        let token =
            token.ok_or_else(|| wrong("a step graph must have the input token, i64 [batch]".into()))?;
        let logits = spec.outputs.iter().enumerate().find_map(|(i, s)| match s.shape.as_slice() {
            [batch, Dim::Fixed(n)] if s.name == "logits" && s.dtype == Dtype::F32 && batch.is_batch() => {
                Some((i, *n))
            }
            _ => None,
        });
        let (logits, tokens) =
            logits.ok_or_else(|| wrong("a step graph must have the output logits, f32 [batch, V]".into()))?;
        let mut states = Vec::with_capacity(spec.state.len());
        for pair in &spec.state {
            let input = spec.inputs.iter().position(|s| s.name == pair.input);
            let output = spec.outputs.iter().position(|s| s.name == pair.output);
            let (Some(input), Some(output)) = (input, output) else {
                return Err(wrong(format!("state {} is not there", pair.input)));
            };
            let shape = spec.inputs.get(input).map(|s| s.shape.as_slice()).unwrap_or_default();
            let axis = shape.iter().position(Dim::is_batch).unwrap_or_default();
            let fixed = |dims: &[Dim]| {
                let size = |d: &Dim| match d {
                    Dim::Fixed(n) => Some(*n),
                    Dim::Symbol(_) => None,
                };
                dims.iter().map(size).collect::<Option<Vec<usize>>>()
            };
            let sides = (
                fixed(shape.get(..axis).unwrap_or_default()),
                fixed(shape.get(axis + 1..).unwrap_or_default()),
            );
            let is_f32 = spec.inputs.get(input).is_some_and(|s| s.dtype == Dtype::F32);
            let (Some(before), Some(after), true) = (sides.0, sides.1, is_f32) else {
                return Err(wrong(format!(
                    "state {} must be f32 with no open dimension but batch",
                    pair.input
                )));
            };
            states.push(StateShape { input, output, before, after });
        }
        let others = |i: usize| i != token && !states.iter().any(|s| s.input == i);
        if let Some((_, other)) = spec.inputs.iter().enumerate().find(|(i, _)| others(*i)) {
            return Err(wrong(format!("input `{}` is neither the token nor a state", other.name)));
        }
        Ok(Self { token, logits, tokens, states })
    }

    /// Whether the graph can be given this token. One that it has no row for would fail the whole batch.
    pub(crate) fn has(&self, token: i64) -> bool {
        usize::try_from(token).is_ok_and(|t| t < self.tokens)
    }

    /// The logits of the batch's row `row`.
    pub(crate) fn logits<'a>(&self, outputs: &'a [Tensor], row: usize) -> Option<&'a [f32]> {
        outputs.get(self.logits)?.as_f32()?.get(row * self.tokens..(row + 1) * self.tokens)
    }
}

/// The states of all slots, each kept as `[outer…, slot, inner…]`.
#[derive(Debug)]
pub(crate) struct States {
    shape: StepShape,
    slots: usize,
    values: Vec<Vec<f32>>,
}

impl States {
    /// States of `slots` slots, at 0.
    pub(crate) fn new(shape: StepShape, slots: usize) -> Self {
        let values = shape.states.iter().map(|s| vec![0.0; s.len(slots)]).collect();
        Self { shape, slots, values }
    }

    /// Puts a slot's states to 0, for a new stream.
    pub(crate) fn reset(&mut self, slot: usize) -> Result<(), EngineError> {
        for (state, values) in self.shape.states.iter().zip(&mut self.values) {
            let zeros = vec![0.0; state.len(1)];
            copy_entry(&zeros, state.entry(1, 0), values, state.entry(self.slots, slot))?;
        }
        Ok(())
    }

    /// The inputs of one step for these slots with their tokens, padded with the last to `size` rows.
    pub(crate) fn gather(&self, slots: &[(usize, i64)], size: usize) -> Result<Vec<Tensor>, EngineError> {
        let broken = |e: atelier_package::TensorError| EngineError::Runtime(e.to_string());
        let Some(last) = slots.last() else {
            return Err(EngineError::Runtime("a step without streams".into()));
        };
        let padded: Vec<(usize, i64)> =
            slots.iter().chain(std::iter::repeat(last)).take(size.max(slots.len())).copied().collect();
        let mut inputs: Vec<(usize, Tensor)> = Vec::with_capacity(1 + self.values.len());
        let tokens = padded.iter().map(|(_, token)| *token).collect();
        inputs.push((self.shape.token, Tensor::i64([padded.len()], tokens).map_err(broken)?));
        for (state, values) in self.shape.states.iter().zip(&self.values) {
            let mut batch = vec![0.0; state.len(padded.len())];
            for (row, (slot, _)) in padded.iter().enumerate() {
                copy_entry(
                    values,
                    state.entry(self.slots, *slot),
                    &mut batch,
                    state.entry(padded.len(), row),
                )?;
            }
            let shape: Vec<usize> = state
                .before
                .iter()
                .copied()
                .chain([padded.len()])
                .chain(state.after.iter().copied())
                .collect();
            inputs.push((state.input, Tensor::f32(shape, batch).map_err(broken)?));
        }
        inputs.sort_by_key(|(input, _)| *input);
        Ok(inputs.into_iter().map(|(_, tensor)| tensor).collect())
    }

    /// Takes the states after the step for these slots.
    pub(crate) fn scatter(&mut self, slots: &[(usize, i64)], outputs: &[Tensor]) -> Result<(), EngineError> {
        for (state, values) in self.shape.states.iter().zip(&mut self.values) {
            let broken = || EngineError::Runtime("a state is missing from the step's outputs".into());
            let output = outputs.get(state.output).ok_or_else(broken)?;
            let rows = output.shape().get(state.before.len()).copied().ok_or_else(broken)?;
            let batch = output.as_f32().ok_or_else(broken)?;
            for (row, (slot, _)) in slots.iter().enumerate() {
                copy_entry(batch, state.entry(rows, row), values, state.entry(self.slots, *slot))?;
            }
        }
        Ok(())
    }
}

/// Which of the slots that can go on take the next step: at most `room`, those that have taken the fewest
/// steps since they came first (of equals the one in the lower slot). In the order of the slots.
pub(crate) fn pick(mut ready: Vec<(usize, u64)>, room: usize) -> Vec<usize> {
    if ready.len() > room {
        ready.sort_by_key(|(slot, served)| (*served, *slot));
        ready.truncate(room);
        ready.sort_by_key(|(slot, _)| *slot);
    }
    ready.into_iter().map(|(slot, _)| slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atelier_package::{StatePair, TensorSpec};
    use proptest::prelude::*;

    fn spec() -> GraphSpec {
        let state = |name: &str| TensorSpec::new(name, Dtype::F32, [2.into(), "batch".into(), 3.into()]);
        GraphSpec {
            name: "step".into(),
            file: "step.onnx".into(),
            sha256: String::new(),
            inputs: vec![state("h"), TensorSpec::new("token", Dtype::I64, ["batch".into()])],
            outputs: vec![TensorSpec::new("logits", Dtype::F32, ["batch".into(), 5.into()]), state("h_next")],
            state: vec![StatePair { input: "h".into(), output: "h_next".into() }],
            ..GraphSpec::default()
        }
    }

    #[test]
    fn a_state_comes_back_to_the_slot_it_came_from() {
        let shape = StepShape::of(&spec()).unwrap();
        assert_eq!(shape.tokens, 5);
        let mut states = States::new(shape, 4);
        let picked = [(1, 7), (3, 8)];
        let next = Tensor::f32([2, 3, 3], (0..18).map(|x| x as f32).collect()).unwrap();
        states.scatter(&picked, &[Tensor::f32([3, 5], vec![0.0; 15]).unwrap(), next]).unwrap();
        let inputs = states.gather(&picked, 3).unwrap();
        assert_eq!(inputs[1], Tensor::i64([3], vec![7, 8, 8]).unwrap());
        let rows = [0, 1, 2, 3, 4, 5, 3, 4, 5, 9, 10, 11, 12, 13, 14, 12, 13, 14];
        assert_eq!(inputs[0], Tensor::f32([2, 3, 3], rows.iter().map(|x| *x as f32).collect()).unwrap());
        states.reset(3).unwrap();
        assert_eq!(states.gather(&[(3, 0)], 1).unwrap()[0].as_f32().unwrap(), [0.0; 6]);
        assert_eq!(states.gather(&[(1, 0)], 1).unwrap()[0].as_f32().unwrap()[..3], [0.0, 1.0, 2.0]);
    }

    #[test]
    fn an_input_that_nobody_can_fill_is_refused() {
        let mut extra = spec();
        extra.inputs.push(TensorSpec::new("digit", Dtype::I64, ["batch".into()]));
        let e = StepShape::of(&extra).unwrap_err().to_string();
        assert_eq!(e, "graph `step`: input `digit` is neither the token nor a state");
    }

    #[test]
    fn a_token_that_the_graph_does_not_have_is_noticed() {
        let shape = StepShape::of(&spec()).unwrap();
        assert!(shape.has(0) && shape.has(4) && !shape.has(5) && !shape.has(-1));
    }

    proptest! {
        #[test]
        fn everyone_who_can_go_on_does_so_in_turn(slots in 1_usize..12, room in 1_usize..8) {
            let mut served = vec![0_u64; slots];
            for _ in 0..slots * 3 {
                let ready = served.iter().copied().enumerate().collect();
                let picked = pick(ready, room);
                prop_assert_eq!(picked.len(), room.min(slots));
                prop_assert!(picked.windows(2).all(|w| w[0] < w[1]));
                for slot in picked {
                    served[slot] += 1;
                }
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{served:?}");
            }
        }
    }
}
