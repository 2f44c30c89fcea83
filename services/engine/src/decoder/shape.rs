//! Where the parts of a step graph are.

use std::slice::ChunksExact;

use atelier_package::{Dim, Dtype, GraphSpec, TensorSpec};

use crate::EngineError;
use crate::rows::Entry;
use crate::runtime::frame::Frame;

/// Where the parts of a step graph are among its inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepShape {
    /// Which input is the token.
    pub(super) token: usize,
    /// Which output is the logits.
    pub(super) logits: usize,
    /// How many tokens there are.
    pub(crate) tokens: usize,
    pub(super) states: Vec<StateShape>,
    pub(super) lines: Vec<LinesShape>,
    pub(super) extras: Vec<ExtraShape>,
    /// How many inputs there are.
    pub(super) inputs: usize,
}

/// A state `[outer…, batch, inner…]` that goes from an output to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateShape {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) before: Vec<usize>,
    pub(super) after: Vec<usize>,
}

impl StateShape {
    pub(super) fn entry(&self, axis: usize, index: usize) -> Entry {
        Entry { outer: self.before.iter().product(), axis, inner: self.after.iter().product(), index }
    }

    pub(super) fn len(&self, axis: usize) -> usize {
        self.before.iter().chain(&self.after).product::<usize>() * axis
    }
}

/// Delay lines: `[batch, layers, width]` from an output, `[batch, layers, taps, width]` to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinesShape {
    pub(super) input: usize,
    pub(super) output: usize,
    /// Of each layer, in steps.
    pub(super) delays: Vec<usize>,
    pub(super) taps: usize,
    pub(super) width: usize,
}

/// An input `[batch, …]` that the stream's cursor fills before each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExtraShape {
    pub(super) input: usize,
    pub(super) name: String,
    /// Without the batch.
    pub(super) dims: Vec<usize>,
}

impl ExtraShape {
    /// Numbers for each stream.
    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }
}

impl StepShape {
    /// The logits of a step, row by row.
    pub(super) fn logits<'a>(&self, frame: &'a Frame) -> Result<ChunksExact<'a, f32>, EngineError> {
        // Of no tokens nothing was exported: a package's shapes are held to its graph.
        Ok(frame.output(self.logits)?.chunks_exact(self.tokens.max(1)))
    }

    /// Reads a step graph: `token` i64 `[batch]` in, `logits` f32 `[batch, V]` out, f32 states and delay lines
    /// in and out, and f32 inputs `[batch, …]` besides, which are the cursors' to fill.
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
        let states = spec.state.iter().map(|pair| {
            let (index, input, output) = ends(spec, &pair.input, &pair.output).map_err(wrong)?;
            let message =
                || wrong(format!("state {} must be f32 with no open dimension but batch", pair.input));
            let (before, after) = around_batch(input).ok_or_else(message)?;
            Ok(StateShape { input: index, output, before, after })
        });
        let states = states.collect::<Result<Vec<_>, EngineError>>()?;
        let lines = spec.delays.iter().map(|lines| {
            let (input, _, output) = ends(spec, &lines.input, &lines.output).map_err(wrong)?;
            let shape =
                || wrong(format!("delay lines {} must be f32 [batch, layers, taps, width]", lines.input));
            let (taps, width) = lines.taps_and_width(spec).ok_or_else(shape)?;
            Ok(LinesShape { input, output, delays: lines.delays.clone(), taps, width })
        });
        let lines = lines.collect::<Result<Vec<_>, EngineError>>()?;
        let taken = |i: usize| {
            i == token || states.iter().any(|s| s.input == i) || lines.iter().any(|l| l.input == i)
        };
        let extras = spec.inputs.iter().enumerate().filter(|(i, _)| !taken(*i)).map(|(input, s)| {
            let message = || {
                let text =
                    "is neither the token nor remembered, and so must be f32 [batch, …], given by the stream";
                wrong(format!("input `{}` {text}", s.name))
            };
            let (_, dims) = around_batch(s).filter(|(before, _)| before.is_empty()).ok_or_else(message)?;
            Ok(ExtraShape { input, name: s.name.clone(), dims })
        });
        let extras = extras.collect::<Result<Vec<_>, EngineError>>()?;
        Ok(Self { token, logits, tokens, states, lines, extras, inputs: spec.inputs.len() })
    }

    /// Whether the graph can be given this token. One that it has no row for would fail the whole batch.
    pub(super) fn check(&self, token: i64) -> Result<(), EngineError> {
        if usize::try_from(token).is_ok_and(|t| t < self.tokens) {
            return Ok(());
        }
        let last = self.tokens.saturating_sub(1);
        Err(EngineError::invalid("token", format!("is {token}, but the model has tokens 0 to {last}")))
    }
}

/// Which input and output two names are.
fn ends<'a>(
    spec: &'a GraphSpec,
    input: &str,
    output: &str,
) -> Result<(usize, &'a TensorSpec, usize), String> {
    let at = spec.inputs.iter().enumerate().find(|(_, s)| s.name == input);
    let to = spec.outputs.iter().position(|s| s.name == output);
    match (at, to) {
        (Some((at, spec)), Some(to)) => Ok((at, spec, to)),
        _ => Err(format!("`{input}` and `{output}` are not both there")),
    }
}

/// The dimensions before and after the batch of floats, all of them fixed.
fn around_batch(spec: &TensorSpec) -> Option<(Vec<usize>, Vec<usize>)> {
    let axis = spec.batch_axis().filter(|_| spec.dtype == Dtype::F32)?;
    let fixed = |dims: &[Dim]| {
        let size = |d: &Dim| match d {
            Dim::Fixed(n) => Some(*n),
            Dim::Symbol(_) => None,
        };
        dims.iter().map(size).collect::<Option<Vec<usize>>>()
    };
    Some((fixed(spec.shape.get(..axis)?)?, fixed(spec.shape.get(axis + 1..)?)?))
}
