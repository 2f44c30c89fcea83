//! The slots of a decoder: who goes next, and what each remembers between steps. No threads, no clocks.

use std::sync::Arc;

use atelier_package::GraphSpec;

use super::lane::Lane;
use super::lines::Lines;
use super::residence::Residence;
use super::sessions::Place;
use super::shape::StepShape;
use crate::EngineError;
use crate::rows::{Entry, copy_entry};
use crate::runtime::frame::Frame;

/// What all slots remember: their states, each kept as `[outer…, slot, inner…]`, their delay lines, and what
/// their streams give besides for the next step, each kept as `[slot, …]`.
///
/// States that a step left in its frame stay there: as long as the same streams go on in it, no state is copied.
#[derive(Debug)]
pub(crate) struct Slots {
    shape: Arc<StepShape>,
    slots: usize,
    states: Vec<Vec<f32>>,
    lines: Vec<Lines>,
    extras: Vec<Vec<f32>>,
    residence: Residence,
}

impl Slots {
    /// This many slots, which remember nothing. All the memory that they will ever need is taken here.
    pub(crate) fn new(shape: Arc<StepShape>, slots: usize) -> Self {
        let states = shape.states.iter().map(|s| vec![0.0; s.len(slots)]).collect();
        let lines = shape.lines.iter().map(|lines| Lines::new(lines.clone(), slots)).collect();
        let extras = shape.extras.iter().map(|extra| vec![0.0; extra.len() * slots]).collect();
        Self { shape, slots, states, lines, extras, residence: Residence::default() }
    }

    /// The frame that states must be [taken out](Self::settle) of before a step of these slots in the one at `place`.
    pub(super) fn elsewhere(&self, slots: &[(usize, i64)], place: Place) -> Option<Place> {
        self.residence.elsewhere(slots, place)
    }

    /// Whose states are lost with the frames, so that they cannot go on.
    pub(super) fn lose(&mut self) -> Vec<usize> {
        let lost = self.residence.rows().map(|(_, slot)| slot).collect();
        self.residence.clear();
        lost
    }

    /// Has a slot forget what it remembers, for a new stream.
    pub(crate) fn reset(&mut self, slot: usize) -> Result<(), EngineError> {
        for (state, values) in self.shape.states.iter().zip(&mut self.states) {
            let Entry { outer, axis, inner, index } = state.entry(self.slots, slot);
            for outer in 0..outer {
                let start = (outer * axis + index) * inner;
                values.get_mut(start..start + inner).ok_or_else(broken)?.fill(0.0);
            }
        }
        self.lines.iter_mut().for_each(|lines| lines.reset(slot));
        self.residence.forget(slot);
        Ok(())
    }

    /// Asks a slot's stream for what its next step takes besides its token.
    pub(crate) fn fill(&mut self, slot: usize, lane: &mut dyn Lane) -> Result<(), EngineError> {
        for (extra, values) in self.shape.extras.iter().zip(&mut self.extras) {
            lane.fill(&extra.name, row_mut(values, slot, extra.len())?)?;
        }
        Ok(())
    }

    /// Puts the inputs of one step for these slots and their tokens into a frame, whose other rows are those
    /// of the last slot again. Nothing is [elsewhere](Self::elsewhere).
    pub(super) fn gather(
        &mut self,
        slots: &[(usize, i64)],
        spec: &GraphSpec,
        frame: &mut Frame,
    ) -> Result<(), EngineError> {
        let last = slots.last().ok_or_else(|| EngineError::Runtime("a step without streams".into()))?;
        let rows = frame.rows();
        let places = || slots.iter().chain(std::iter::repeat(last)).take(rows).enumerate();
        let tokens = frame.input::<i64>(self.shape.token)?;
        for (row, (_, token)) in places() {
            *tokens.get_mut(row).ok_or_else(broken)? = *token;
        }
        if self.residence.begin() {
            frame.carry(spec, self.shape.states.iter().map(|state| (state.input, state.output)))?;
        } else {
            for (state, values) in self.shape.states.iter().zip(&self.states) {
                let input = frame.input(state.input)?;
                for (row, (slot, _)) in places() {
                    copy_entry(values, state.entry(self.slots, *slot), input, state.entry(rows, row))?;
                }
            }
        }
        for (shape, lines) in self.shape.lines.iter().zip(&self.lines) {
            let input = frame.input(shape.input)?;
            for (row, (slot, _)) in places() {
                lines.read(*slot, row_mut(input, row, lines.row())?)?;
            }
        }
        for (extra, values) in self.shape.extras.iter().zip(&self.extras) {
            let input = frame.input(extra.input)?;
            for (row, (slot, _)) in places() {
                let len = extra.len();
                let given = values.get(slot * len..(slot + 1) * len).ok_or_else(broken)?;
                row_mut(input, row, len)?.copy_from_slice(given);
            }
        }
        Ok(())
    }

    /// Takes what these slots must remember of the step in the frame at `place`, but for the states, which are left
    /// there.
    pub(super) fn scatter(
        &mut self,
        slots: &[(usize, i64)],
        place: Place,
        frame: &Frame,
    ) -> Result<(), EngineError> {
        for (shape, lines) in self.shape.lines.iter().zip(&mut self.lines) {
            let output = frame.output(shape.output)?;
            let len = shape.delays.len() * shape.width;
            for (row, (slot, _)) in slots.iter().enumerate() {
                lines.push(*slot, output.get(row * len..(row + 1) * len).ok_or_else(broken)?)?;
            }
        }
        self.residence.leave(slots, place);
        Ok(())
    }

    /// The frame of a step that came to nothing, and that states must be [recovered](Self::recover) from.
    pub(super) fn begun(&self) -> Option<Place> {
        self.residence.begun()
    }

    /// After a step that came to nothing: its slots remember what they did before. Nothing else was changed by it.
    pub(super) fn recover(&mut self, spec: &GraphSpec, frame: &mut Frame) -> Result<(), EngineError> {
        // Handed over once more they are where the step before left them.
        frame.carry(spec, self.shape.states.iter().map(|state| (state.input, state.output)))?;
        self.settle(frame)
    }

    /// Takes the states out of the frame that they were left in.
    pub(super) fn settle(&mut self, frame: &Frame) -> Result<(), EngineError> {
        for (state, values) in self.shape.states.iter().zip(&mut self.states) {
            let output = frame.output(state.output)?;
            for (row, slot) in self.residence.rows() {
                copy_entry(output, state.entry(frame.rows(), row), values, state.entry(self.slots, slot))?;
            }
        }
        self.residence.clear();
        Ok(())
    }
}

fn row_mut(values: &mut [f32], row: usize, len: usize) -> Result<&mut [f32], EngineError> {
    values.get_mut(row * len..(row + 1) * len).ok_or_else(broken)
}

fn broken() -> EngineError {
    EngineError::Runtime("a tensor of a step has another shape than its graph".into())
}

/// Which of the slots that can go on take the next step: at most `room`, those that were served the fewest steps first
/// (of equals the one in the lower slot). In the order of the slots.
pub(crate) fn pick(ready: &mut Vec<(usize, u64)>, room: usize) {
    if ready.len() > room {
        ready.sort_unstable_by_key(|(slot, served)| (*served, *slot));
        ready.truncate(room);
        ready.sort_unstable_by_key(|(slot, _)| *slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::lane::{Onward, Readiness};
    use crate::decoder::sessions::Which;
    use atelier_package::{DelayLines, Dtype, StatePair, Tensor, TensorSpec};
    use proptest::prelude::*;
    use std::time::Instant;

    fn spec() -> GraphSpec {
        let state = |name: &str| TensorSpec::new(name, Dtype::F32, [2.into(), "batch".into(), 3.into()]);
        GraphSpec {
            name: "step".into(),
            inputs: vec![state("h"), TensorSpec::new("token", Dtype::I64, ["batch".into()])],
            outputs: vec![TensorSpec::new("logits", Dtype::F32, ["batch".into(), 5.into()]), state("h_next")],
            state: vec![StatePair { input: "h".into(), output: "h_next".into() }],
            ..GraphSpec::default()
        }
    }

    fn slots(spec: &GraphSpec, slots: usize) -> (Arc<StepShape>, Slots) {
        let shape = Arc::new(StepShape::of(spec).unwrap());
        (Arc::clone(&shape), Slots::new(shape, slots))
    }

    /// As a step of these slots would begin in a frame of its own.
    fn gather(spec: &GraphSpec, slots: &mut Slots, picked: &[(usize, i64)], rows: usize) -> Vec<Tensor> {
        let mut frame = Frame::plain(spec, rows).unwrap();
        slots.gather(picked, spec, &mut frame).unwrap();
        frame.inputs().unwrap()
    }

    const HERE: Place = Place { session: Which::Own, rows: 3 };

    #[test]
    fn a_state_comes_back_to_the_slot_it_came_from() {
        let (shape, mut slots) = slots(&spec(), 4);
        assert_eq!(shape.tokens, 5);
        let picked = [(1, 7), (3, 8)];
        let mut frame = Frame::plain(&spec(), 3).unwrap();
        let next = Tensor::f32([2, 3, 3], (0..18).map(|x| x as f32).collect()).unwrap();
        frame.set_outputs(&[Tensor::f32([3, 5], vec![0.0; 15]).unwrap(), next]).unwrap();
        slots.scatter(&picked, HERE, &frame).unwrap();
        slots.settle(&frame).unwrap();
        slots.gather(&picked, &spec(), &mut frame).unwrap();
        let inputs = frame.inputs().unwrap();
        assert_eq!(inputs[1], Tensor::i64([3], vec![7, 8, 8]).unwrap());
        let rows = [0, 1, 2, 3, 4, 5, 3, 4, 5, 9, 10, 11, 12, 13, 14, 12, 13, 14];
        let rows = rows.iter().map(|x| *x as f32).collect();
        assert_eq!(inputs[0], Tensor::f32([2, 3, 3], rows).unwrap());
        slots.reset(3).unwrap();
        assert_eq!(gather(&spec(), &mut slots, &[(3, 0)], 1)[0].as_f32().unwrap(), [0.0; 6]);
        assert_eq!(gather(&spec(), &mut slots, &[(1, 0)], 1)[0].as_f32().unwrap()[..3], [0.0, 1.0, 2.0]);
    }

    /// Gives 10, 11, … for `pace`, and nothing for any other input.
    struct Giving(f32);

    impl Lane for Giving {
        fn first(&mut self) -> i64 {
            0
        }

        fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
            if input != "pace" {
                return Err(EngineError::invalid(input, "is not given"));
            }
            row.iter_mut().zip(0_u8..).for_each(|(x, i)| *x = self.0 + f32::from(i));
            Ok(())
        }

        fn advance(&mut self, _logits: &[f32]) -> Result<Onward, EngineError> {
            Ok(Onward::End)
        }

        fn readiness(&self, _now: Instant) -> Readiness {
            Readiness::Go
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn finish(self: Box<Self>, _end: Result<(), EngineError>) {}
    }

    fn with_lines_and(extra: &str) -> GraphSpec {
        let batch = |name: &str, dims: &[usize]| {
            let dims = dims.iter().map(|n| (*n).into());
            TensorSpec::new(name, Dtype::F32, std::iter::once("batch".into()).chain(dims))
        };
        let mut spec = spec();
        spec.inputs.insert(0, batch("taps", &[2, 1, 1]));
        spec.inputs.push(batch(extra, &[2]));
        spec.outputs.push(batch("pushed", &[2, 1]));
        spec.delays = vec![DelayLines { input: "taps".into(), output: "pushed".into(), delays: vec![1, 2] }];
        spec
    }

    #[test]
    fn each_row_has_the_taps_and_the_extras_of_its_slot() {
        let spec = with_lines_and("pace");
        let (_, mut slots) = slots(&spec, 3);
        let picked = [(0, 1), (2, 1)];
        slots.fill(0, &mut Giving(10.0)).unwrap();
        slots.fill(2, &mut Giving(20.0)).unwrap();
        let mut frame = Frame::plain(&spec, 3).unwrap();
        for step in 0..3_u8 {
            slots.gather(&picked, &spec, &mut frame).unwrap();
            let inputs = frame.inputs().unwrap();
            assert_eq!(inputs[3].as_f32().unwrap(), [10.0, 11.0, 20.0, 21.0, 20.0, 21.0]);
            let taps = inputs[0].as_f32().unwrap();
            let expected: [f32; 6] = match step {
                0 => [0.0; 6],
                1 => [1.0, 0.0, 3.0, 0.0, 3.0, 0.0],
                _ => [11.0, 2.0, 13.0, 4.0, 13.0, 4.0],
            };
            assert_eq!(taps, expected, "step {step}");
            let pushed = (1..=6_u8).map(|x| f32::from(10 * step + x)).collect();
            let states = Tensor::f32([2, 3, 3], vec![0.0; 18]).unwrap();
            let outputs = [
                Tensor::f32([3, 5], vec![0.0; 15]).unwrap(),
                states,
                Tensor::f32([3, 2, 1], pushed).unwrap(),
            ];
            frame.set_outputs(&outputs).unwrap();
            slots.scatter(&picked, HERE, &frame).unwrap();
        }
    }

    #[test]
    fn an_input_that_a_stream_does_not_give_is_an_error_of_that_stream() {
        let (_, mut slots) = slots(&with_lines_and("mood"), 1);
        assert_eq!(slots.fill(0, &mut Giving(1.0)).unwrap_err().to_string(), "mood: is not given");
    }

    #[test]
    fn an_input_that_nobody_can_give_is_refused() {
        let mut extra = spec();
        extra.inputs.push(TensorSpec::new("digit", Dtype::I64, ["batch".into()]));
        let e = StepShape::of(&extra).unwrap_err().to_string();
        assert_eq!(
            e,
            "graph `step`: input `digit` is neither the token nor remembered, and so must be f32 [batch, …], \
             given by the stream"
        );
    }

    #[test]
    fn a_token_that_the_graph_does_not_have_is_noticed() {
        let shape = StepShape::of(&spec()).unwrap();
        assert!(shape.check(0).is_ok() && shape.check(4).is_ok());
        let told = [5, -1].map(|token| shape.check(token).unwrap_err().to_string());
        assert_eq!(told, [5, -1].map(|token| format!("token: is {token}, but the model has tokens 0 to 4")));
    }

    /// What a step does to a slot's six numbers in the oracle, and to each row of a frame.
    fn stepped(state: f32, token: i64) -> f32 {
        state * 0.5 + token as f32
    }

    proptest! {
        /// Whichever slots go on, forget, change frames and fail: a step begins with what the slot's last one left.
        #[test]
        fn no_state_is_lost_or_mixed_up(
            steps in proptest::collection::vec(
                (
                    proptest::collection::btree_set(0_usize..4, 1..4),
                    0_usize..2,
                    proptest::option::of(0_usize..4),
                    proptest::bool::weighted(0.2),
                ),
                1..40,
            )
        ) {
            let spec = spec();
            let (_, mut slots) = slots(&spec, 4);
            let mut oracle = [[0.0_f32; 6]; 4];
            let sessions = [Which::Own, Which::Divided];
            let mut frames: Vec<(Place, Frame)> = Vec::new();
            for (token, (picked, session, forgotten, fails)) in (1_i64..).zip(steps) {
                let picked: Vec<_> = picked.into_iter().map(|slot| (slot, token)).collect();
                let place = Place { session: sessions[session], rows: picked.len().next_power_of_two() };
                if let Some(left) = slots.elsewhere(&picked, place) {
                    let (_, frame) = frames.iter().find(|(at, _)| *at == left).unwrap();
                    slots.settle(frame).unwrap();
                }
                if !frames.iter().any(|(at, _)| *at == place) {
                    frames.push((place, Frame::plain(&spec, place.rows).unwrap()));
                }
                let (_, frame) = frames.iter_mut().find(|(at, _)| *at == place).unwrap();
                slots.gather(&picked, &spec, frame).unwrap();
                let inputs = frame.inputs().unwrap();
                let given = inputs[0].as_f32().unwrap();
                for (row, (slot, _)) in picked.iter().enumerate() {
                    for (i, known) in oracle[*slot].iter().enumerate() {
                        prop_assert_eq!(given[(i / 3 * place.rows + row) * 3 + i % 3], *known);
                    }
                }
                let next = given.iter().map(|x| stepped(*x, token)).collect();
                let next = Tensor::f32([2, place.rows, 3], next).unwrap();
                let logits = Tensor::f32([place.rows, 5], vec![0.0; 5 * place.rows]).unwrap();
                frame.set_outputs(&[logits, next]).unwrap();
                if fails {
                    // Whatever it has written by then.
                    if let Some(at) = slots.begun() {
                        prop_assert_eq!(at, place);
                        slots.recover(&spec, frame).unwrap();
                    }
                } else {
                    slots.scatter(&picked, place, frame).unwrap();
                    for (slot, _) in &picked {
                        oracle[*slot].iter_mut().for_each(|x| *x = stepped(*x, token));
                    }
                }
                if let Some(slot) = forgotten {
                    slots.reset(slot).unwrap();
                    oracle[slot] = [0.0; 6];
                }
            }
        }

        #[test]
        fn everyone_who_can_go_on_does_so_in_turn(slots in 1_usize..12, room in 1_usize..8) {
            let mut served = vec![0_u64; slots];
            for _ in 0..slots * 3 {
                let mut picked = served.iter().copied().enumerate().collect();
                pick(&mut picked, room);
                prop_assert_eq!(picked.len(), room.min(slots));
                prop_assert!(picked.windows(2).all(|w| w[0].0 < w[1].0));
                for (slot, _) in picked {
                    served[slot] += 1;
                }
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{served:?}");
            }
        }
    }
}
