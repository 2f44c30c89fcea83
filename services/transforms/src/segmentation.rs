//! A segmenter's tiles out of a picture of any size, and a mask out of their logits.
//!
//! [`normalise`] the whole picture, cut it with [`Tiles`], run the graph on each tile, put the logits back
//! together with a [`Blend`], and make a [`Mask`] of the probabilities.

mod mask;
mod normalise;
mod overlay;
mod tiles;

pub use mask::Mask;
pub use normalise::{normalise, percentile};
pub use overlay::overlay;
pub use tiles::{Blend, Tiles};

/// One number for every pixel of a picture, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Plane {
    /// `None` unless there are `height * width` values, at least one.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Option<Self> {
        let right = !values.is_empty() && height.checked_mul(width) == Some(values.len());
        right.then_some(Self { height, width, values })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
