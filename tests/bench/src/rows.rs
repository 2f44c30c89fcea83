//! Inputs for a graph, row by row, from a seed.

use anyhow::{Context, Result};
use atelier_package::{Dim, Dtype, GraphSpec, Tensor, TensorData, TensorSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Inputs of one row each, with what is allowed by the spec's ranges; without a range, values as of `z`.
///
/// # Errors
/// The graph takes something of open size beside the batch.
pub(crate) fn row(spec: &GraphSpec, seed: u64) -> Result<Vec<Tensor>> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    spec.inputs.iter().map(|input| one(input, &mut random)).collect()
}

fn one(spec: &TensorSpec, random: &mut ChaCha12Rng) -> Result<Tensor> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => Ok(*size),
        dim if dim.is_batch() => Ok(1),
        Dim::Symbol(name) => Err(anyhow::anyhow!("input {}: the size of {name} is open", spec.name)),
    };
    let shape: Vec<usize> = spec.shape.iter().map(size).collect::<Result<_>>()?;
    let count = shape.iter().product();
    let tensor = match spec.dtype {
        Dtype::F32 => {
            let [least, most] = spec.range.unwrap_or([-1.7, 1.7]);
            let value = |_| random.random_range(least..=most) as f32;
            Tensor::f32(shape, (0..count).map(value).collect())
        }
        Dtype::I64 => {
            let [least, most] = spec.range.unwrap_or([0.0, 0.0]);
            let value = |_| random.random_range(least as i64..=most as i64);
            Tensor::i64(shape, (0..count).map(value).collect())
        }
    };
    Ok(tensor?)
}

/// Rows as one batch, along the dimension that the spec names.
///
/// # Errors
/// The graph takes no batches, or rows differ in more than that.
pub(crate) fn join(spec: &GraphSpec, rows: &[Vec<Tensor>]) -> Result<Vec<Tensor>> {
    let joined = |(index, input): (usize, &TensorSpec)| {
        let parts: Vec<&Tensor> = rows.iter().filter_map(|row| row.get(index)).collect();
        let axis = axis(input).with_context(|| format!("input {} has no batch", input.name))?;
        let first = *parts.first().context("no rows")?;
        let mut shape = first.shape().to_vec();
        let (outer, inner): (usize, usize) =
            (shape.iter().take(axis).product(), shape.iter().skip(axis + 1).product());
        if let Some(size) = shape.get_mut(axis) {
            *size = parts.len();
        }
        let tensor = match first.data() {
            TensorData::F32(_) => {
                let parts: Option<Vec<&[f32]>> = parts.iter().map(|part| part.as_f32()).collect();
                Tensor::f32(shape, interleave(&parts.context("types differ")?, outer, inner))
            }
            TensorData::I64(_) => {
                let parts: Option<Vec<&[i64]>> = parts.iter().map(|part| part.as_i64()).collect();
                Tensor::i64(shape, interleave(&parts.context("types differ")?, outer, inner))
            }
        };
        Ok(tensor?)
    };
    spec.inputs.iter().enumerate().map(joined).collect()
}

fn interleave<T: Copy>(parts: &[&[T]], outer: usize, inner: usize) -> Vec<T> {
    let pieces =
        (0..outer).flat_map(|at| parts.iter().map(move |part| part.get(at * inner..(at + 1) * inner)));
    pieces.flatten().flatten().copied().collect()
}

/// The values of one row of a batch of outputs.
pub(crate) fn pick(spec: &TensorSpec, batch: &[f32], rows: usize, row: usize) -> Vec<f32> {
    let fixed = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    let axis = axis(spec).unwrap_or(0);
    let outer: usize = spec.shape.iter().take(axis).map(fixed).product();
    let inner = batch.len() / (outer * rows).max(1);
    let piece = |at: usize| batch.get((at * rows + row) * inner..(at * rows + row + 1) * inner);
    (0..outer).filter_map(piece).flatten().copied().collect()
}

fn axis(spec: &TensorSpec) -> Option<usize> {
    spec.shape.iter().position(Dim::is_batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> GraphSpec {
        let batch = || Dim::Symbol(Dim::BATCH.into());
        let inputs = vec![
            TensorSpec::new("token", Dtype::I64, [batch()]).with_range(0.0, 64.0),
            TensorSpec::new("h", Dtype::F32, [Dim::Fixed(2), batch(), Dim::Fixed(3)]),
        ];
        let outputs = vec![inputs[1].clone()];
        GraphSpec { inputs, outputs, ..GraphSpec::default() }
    }

    #[test]
    fn a_row_picked_of_a_batch_is_the_row_that_went_into_it() {
        let spec = spec();
        let rows: Vec<_> = (0..4).map(|seed| row(&spec, seed).unwrap()).collect();
        let batch = join(&spec, &rows).unwrap();
        assert_eq!(batch[0].shape(), [4]);
        assert_eq!(batch[1].shape(), [2, 4, 3]);
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(batch[0].as_i64().unwrap()[at], row[0].as_i64().unwrap()[0]);
            let picked = pick(&spec.outputs[0], batch[1].as_f32().unwrap(), 4, at);
            assert_eq!(picked, row[1].as_f32().unwrap());
        }
        assert_ne!(rows[0], rows[1]);
    }

    #[test]
    fn what_is_of_open_size_beside_the_batch_is_refused_by_name() {
        let open = TensorSpec::new("image", Dtype::F32, [Dim::Symbol("height".into())]);
        let said = row(&GraphSpec { inputs: vec![open], ..spec() }, 1).unwrap_err().to_string();
        assert!(said.contains("image") && said.contains("height"), "{said}");
    }
}
