//! Joins tensors along their batch axis, and takes them apart again.

use std::ops::Range;

use atelier_package::{Tensor, TensorData};

use crate::EngineError;

/// Rows of several tensors, one after the other along axis 0.
pub(crate) fn join(parts: &[(&Tensor, Range<usize>)]) -> Result<Tensor, EngineError> {
    let Some((first, _)) = parts.first() else {
        return Err(EngineError::Runtime("an answer without rows".into()));
    };
    let mut shape = first.shape().to_vec();
    let row: usize = shape.iter().skip(1).product();
    if let Some(batch) = shape.first_mut() {
        *batch = parts.iter().map(|(_, range)| range.len()).sum();
    }
    let data = match first.data() {
        TensorData::F32(_) => TensorData::F32(collect(parts, row, Tensor::as_f32)?),
        TensorData::I64(_) => TensorData::I64(collect(parts, row, Tensor::as_i64)?),
    };
    Tensor::new(shape, data).map_err(|e| EngineError::Runtime(e.to_string()))
}

fn collect<'a, T: Copy + 'a>(
    parts: &'a [(&Tensor, Range<usize>)],
    row: usize,
    get: impl Fn(&'a Tensor) -> Option<&'a [T]>,
) -> Result<Vec<T>, EngineError> {
    let broken = || EngineError::Runtime("rows of different kinds in one answer".into());
    let mut out = Vec::with_capacity(parts.iter().map(|(_, range)| range.len() * row).sum());
    for (tensor, range) in parts {
        let rows = get(tensor).and_then(|v| v.get(range.start * row..range.end * row)).ok_or_else(broken)?;
        out.extend_from_slice(rows);
    }
    Ok(out)
}

/// The rows `range` of a tensor along axis 0.
pub(crate) fn take(tensor: &Tensor, range: Range<usize>) -> Result<Tensor, EngineError> {
    join(&[(tensor, range)])
}

/// The entries `indices` of a tensor along `axis`, in that order; one may be there several times.
pub(crate) fn select(tensor: &Tensor, axis: usize, indices: &[usize]) -> Result<Tensor, EngineError> {
    let mut shape = tensor.shape().to_vec();
    let inner: usize = shape.iter().skip(axis + 1).product();
    let outer: usize = shape.iter().take(axis).product();
    let Some(size) = shape.get_mut(axis).map(|d| std::mem::replace(d, indices.len())) else {
        return Err(EngineError::Runtime(format!("there is no axis {axis} in {:?}", tensor.shape())));
    };
    let ranges = || {
        (0..outer).flat_map(|o| {
            indices.iter().map(move |index| Entry { outer, axis: size, inner, index: *index }.range(o))
        })
    };
    let data = match tensor.data() {
        TensorData::F32(v) => gather(v, ranges()).map(TensorData::F32),
        TensorData::I64(v) => gather(v, ranges()).map(TensorData::I64),
    };
    let data = data.ok_or_else(|| EngineError::Runtime("a batch entry that is not there".into()))?;
    Tensor::new(shape, data).map_err(|e| EngineError::Runtime(e.to_string()))
}

fn gather<T: Copy>(source: &[T], ranges: impl Iterator<Item = Range<usize>>) -> Option<Vec<T>> {
    let mut out = Vec::new();
    for range in ranges {
        out.extend_from_slice(source.get(range)?);
    }
    Some(out)
}

/// Copies one entry along `axis` (its `from`-th) to the `to`-th entry of another tensor of the same shape but
/// for that axis. Shapes are `[outer…, axis, inner…]`.
pub(crate) fn copy_entry(
    source: &[f32],
    from: Entry,
    target: &mut [f32],
    to: Entry,
) -> Result<(), EngineError> {
    for outer in 0..from.outer {
        let source = source.get(from.range(outer));
        let target = target.get_mut(to.range(outer));
        match (source, target) {
            (Some(s), Some(t)) if s.len() == t.len() => t.copy_from_slice(s),
            _ => return Err(EngineError::Runtime("a state has another shape than its graph".into())),
        }
    }
    Ok(())
}

/// One entry of a tensor `[outer, axis, inner]` along its axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The product of the dimensions before the axis.
    pub(crate) outer: usize,
    /// The size of the axis.
    pub(crate) axis: usize,
    /// The product of the dimensions after it.
    pub(crate) inner: usize,
    /// Which entry.
    pub(crate) index: usize,
}

impl Entry {
    fn range(self, outer: usize) -> Range<usize> {
        let start = (outer * self.axis + self.index) * self.inner;
        start..start + self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_rows_come_apart_as_they_were() {
        let a = Tensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let b = Tensor::f32([1, 2], vec![5.0, 6.0]).unwrap();
        let joined = join(&[(&a, 1..2), (&b, 0..1)]).unwrap();
        assert_eq!(joined, Tensor::f32([2, 2], vec![3.0, 4.0, 5.0, 6.0]).unwrap());
        assert_eq!(take(&joined, 1..2).unwrap(), b);
    }

    #[test]
    fn rows_that_do_not_belong_together_are_an_error() {
        let f = Tensor::f32([1], vec![1.0]).unwrap();
        let i = Tensor::i64([1], vec![1]).unwrap();
        assert!(join(&[(&f, 0..1), (&i, 0..1)]).is_err());
        assert!(join(&[(&f, 0..2)]).is_err());
        assert!(join(&[]).is_err());
    }

    #[test]
    fn entries_are_selected_along_any_axis() {
        let t = Tensor::i64([2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(select(&t, 1, &[2, 0]).unwrap(), Tensor::i64([2, 2], vec![3, 1, 6, 4]).unwrap());
        assert_eq!(select(&t, 0, &[1, 1]).unwrap(), Tensor::i64([2, 3], vec![4, 5, 6, 4, 5, 6]).unwrap());
        assert!(select(&t, 0, &[2]).is_err() && select(&t, 2, &[0]).is_err());
    }

    #[test]
    fn an_entry_is_copied_through_all_layers() {
        // [layers 2, batch 2, dim 2] to [layers 2, slots 3, dim 2]
        let source = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let mut target = [0.0; 12];
        let from = Entry { outer: 2, axis: 2, inner: 2, index: 1 };
        copy_entry(&source, from, &mut target, Entry { outer: 2, axis: 3, inner: 2, index: 2 }).unwrap();
        assert_eq!(target, [0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0]);
        let outside = Entry { outer: 2, axis: 2, inner: 2, index: 9 };
        assert!(copy_entry(&source, outside, &mut target, outside).is_err());
    }
}
