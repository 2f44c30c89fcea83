//! Delay lines: what dilated convolutions read of their own past.

use std::ops::Range;

use super::shape::LinesShape;
use crate::EngineError;

/// The delay lines of all slots. The memory of every slot is there from the start, and never grows.
///
/// A layer with `taps` taps, `delay` steps apart, needs what came out of it in the last `taps * delay` steps:
/// that many rows in a ring, of which the oldest is overwritten. What a stream has not yet written counts as
/// 0, so that a slot need not be cleared for a new one.
#[derive(Debug)]
pub(super) struct Lines {
    shape: LinesShape,
    /// Where the ring of each layer begins in a slot's numbers.
    begins: Vec<usize>,
    /// Numbers for each slot.
    size: usize,
    values: Vec<f32>,
    /// How many steps the stream in each slot has taken.
    steps: Vec<usize>,
}

impl Lines {
    pub(super) fn new(shape: LinesShape, slots: usize) -> Self {
        let mut begins = Vec::with_capacity(shape.delays.len());
        let mut size = 0;
        for delay in &shape.delays {
            begins.push(size);
            size += delay * shape.taps * shape.width;
        }
        Self { shape, begins, size, values: vec![0.0; size * slots], steps: vec![0; slots] }
    }

    /// Forgets what there is, for a new stream.
    pub(super) fn reset(&mut self, slot: usize) {
        if let Some(steps) = self.steps.get_mut(slot) {
            *steps = 0;
        }
    }

    /// Numbers that a slot gets out of its lines for a step: layers x taps x width.
    pub(super) fn row(&self) -> usize {
        self.shape.delays.len() * self.shape.taps * self.shape.width
    }

    /// What comes out of a slot's lines in its next step.
    pub(super) fn read(&self, slot: usize, row: &mut [f32]) -> Result<(), EngineError> {
        let steps = self.steps.get(slot).copied().ok_or_else(broken)?;
        let mut rows = row.chunks_exact_mut(self.shape.width);
        for (layer, delay) in self.shape.delays.iter().enumerate() {
            for tap in 0..self.shape.taps {
                let target = rows.next().ok_or_else(broken)?;
                match steps.checked_sub((tap + 1) * delay) {
                    Some(step) => {
                        let range = self.place(slot, layer, *delay, step)?;
                        target.copy_from_slice(self.values.get(range).ok_or_else(broken)?);
                    }
                    None => target.fill(0.0),
                }
            }
        }
        Ok(())
    }

    /// What goes into a slot's lines at the end of its step: layers x width numbers.
    pub(super) fn push(&mut self, slot: usize, row: &[f32]) -> Result<(), EngineError> {
        let steps = self.steps.get(slot).copied().ok_or_else(broken)?;
        let mut rows = row.chunks_exact(self.shape.width);
        for layer in 0..self.shape.delays.len() {
            let delay = self.shape.delays.get(layer).copied().ok_or_else(broken)?;
            let range = self.place(slot, layer, delay, steps)?;
            let target = self.values.get_mut(range).ok_or_else(broken)?;
            target.copy_from_slice(rows.next().ok_or_else(broken)?);
        }
        if let Some(count) = self.steps.get_mut(slot) {
            *count = steps + 1;
        }
        Ok(())
    }

    /// Where the row of a step is.
    fn place(
        &self,
        slot: usize,
        layer: usize,
        delay: usize,
        step: usize,
    ) -> Result<Range<usize>, EngineError> {
        let begin = self.begins.get(layer).ok_or_else(broken)?;
        let start = slot * self.size + begin + step % (self.shape.taps * delay) * self.shape.width;
        Ok(start..start + self.shape.width)
    }
}

fn broken() -> EngineError {
    EngineError::Runtime("a delay line has another shape than its graph".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(delays: &[usize], taps: usize, width: usize, slots: usize) -> Lines {
        Lines::new(LinesShape { input: 0, output: 0, delays: delays.to_vec(), taps, width }, slots)
    }

    /// What a layer gives in a step of a stream: a number that no other has.
    fn given(stream: usize, step: usize, layer: usize, i: usize) -> f32 {
        (stream * 100_000 + step * 100 + layer * 10 + i + 1) as f32
    }

    proptest! {
        #[test]
        fn a_tap_is_what_went_in_that_many_steps_ago_and_0_before_the_start(
            delays in proptest::collection::vec(1_usize..12, 1..5),
            taps in 1_usize..4,
            width in 1_usize..4,
            moves in proptest::collection::vec((0_usize..3, 0_usize..50), 1..120),
        ) {
            let mut lines = lines(&delays, taps, width, 3);
            let memory = lines.values.len();
            // Which stream a slot has, and how many steps that has taken.
            let (mut streams, mut steps) = ([0, 1, 2], [0; 3]);
            for (slot, dice) in moves {
                if dice == 0 {
                    streams[slot] += 3;
                    steps[slot] = 0;
                    lines.reset(slot);
                }
                let mut got = vec![f32::NAN; lines.row()];
                lines.read(slot, &mut got).unwrap();
                let mut expected = Vec::new();
                for (layer, delay) in delays.iter().enumerate() {
                    for tap in 1..=taps {
                        expected.extend((0..width).map(|i| match steps[slot] >= tap * delay {
                            true => given(streams[slot], steps[slot] - tap * delay, layer, i),
                            false => 0.0,
                        }));
                    }
                }
                prop_assert_eq!(got, expected);
                let row: Vec<f32> = (0..delays.len())
                    .flat_map(|layer| (0..width).map(move |i| (layer, i)))
                    .map(|(layer, i)| given(streams[slot], steps[slot], layer, i))
                    .collect();
                lines.push(slot, &row).unwrap();
                steps[slot] += 1;
            }
            prop_assert_eq!(lines.values.len(), memory, "the memory of a slot is fixed");
        }
    }

    #[test]
    fn rows_of_another_shape_are_an_error() {
        let mut lines = lines(&[1, 2], 2, 2, 1);
        assert!(lines.read(1, &mut [0.0; 8]).is_err() && lines.read(0, &mut [0.0; 6]).is_err());
        assert!(lines.push(0, &[0.0; 2]).is_err() && lines.push(1, &[0.0; 4]).is_err());
    }
}
