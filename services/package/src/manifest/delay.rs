//! `[[graph.delay]]`: what a step graph remembers of steps long past.

use serde::{Deserialize, Serialize};

use super::GraphSpec;
use super::spec::{Dim, TensorSpec};
use crate::error::FieldError;
use crate::name::shorten;
use crate::tensor::Dtype;

/// The most numbers that the delay lines of one graph may keep for one stream: 16 MiB.
const MOST: usize = 1 << 22;

/// Delay lines of a step graph, one a layer: what a dilated convolution reads of its own past.
///
/// In each step the graph gives `output` (f32 `[batch, layers, width]`), which the server remembers, and in
/// each it is given `input` (f32 `[batch, layers, taps, width]`): tap `k` of layer `l` is what that layer gave
/// `(k + 1) * delays[l]` steps ago, and 0 before the start of the stream. So only the rows that come out of
/// the lines and go into them cross the graph, not the lines (Paine et al., "Fast Wavenet Generation
/// Algorithm", 2016).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayLines {
    /// The input that takes the taps.
    pub input: String,
    /// The output that gives what goes into the lines.
    pub output: String,
    /// One for each layer: how many steps lie between its taps, at least 1.
    pub delays: Vec<usize>,
}

impl DelayLines {
    /// Taps of each layer and width of each row, as the graph's input says; `None` if it is of another shape.
    pub fn taps_and_width(&self, graph: &GraphSpec) -> Option<(usize, usize)> {
        match graph.input(&self.input)?.shape.as_slice() {
            [batch, Dim::Fixed(layers), Dim::Fixed(taps), Dim::Fixed(width)]
                if batch.is_batch() && *layers == self.delays.len() =>
            {
                Some((*taps, *width))
            }
            _ => None,
        }
    }

    pub(super) fn validate(&self, graph: &GraphSpec) -> Result<(), FieldError> {
        let at = format!("graph.{}.delay.{}", graph.name, shorten(&self.input));
        let wrong = |message: String| Err(FieldError::new(&at, message));
        let (Some(input), Some(output)) = (graph.input(&self.input), graph.output(&self.output)) else {
            return wrong(format!(
                "must pair an input with an output; `{}` and `{}` are not both there",
                shorten(&self.input),
                shorten(&self.output)
            ));
        };
        let layers = self.delays.len();
        let shapes = self.taps_and_width(graph).filter(|_| input.dtype == Dtype::F32);
        let Some((taps, width)) = shapes else {
            return wrong(format!(
                "`{}` is {} {}, but f32 [batch, {layers}, taps, width] is right for {layers} delays",
                input.name,
                input.dtype,
                input.shape_text()
            ));
        };
        let pushed = TensorSpec::new("", Dtype::F32, ["batch".into(), layers.into(), width.into()]);
        if output.dtype != pushed.dtype || output.shape != pushed.shape {
            return wrong(format!(
                "`{}` is {} {}, but f32 {} is right",
                output.name,
                output.dtype,
                output.shape_text(),
                pushed.shape_text()
            ));
        }
        if self.delays.contains(&0) {
            return wrong("delays: there is a 0, but 1 step or more is right".into());
        }
        let rows = self.delays.iter().try_fold(0_usize, |sum, d| sum.checked_add(*d));
        let size = rows.and_then(|rows| rows.checked_mul(taps)).and_then(|rows| rows.checked_mul(width));
        if size.is_none_or(|size| size > MOST) {
            return wrong(format!("delays: are so long that a stream would have more than {MOST} numbers"));
        }
        Ok(())
    }
}
