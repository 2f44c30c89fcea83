//! `[segmentation]`: what a picture goes through before a segmenter and what its logits go through after.

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::error::FieldError;
use crate::manifest::spec::{Dim, TensorSpec};
use crate::tensor::Dtype;

/// The longest side of a tile, in pixels.
const LARGEST: usize = 4096;

/// How a segmenter, whose tiles have one fixed size, is applied to a picture of any size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segmentation {
    /// Two percentiles of the whole picture's values, the lower first: the first becomes 0, the second 1, and
    /// what lies beyond them is clipped.
    pub percentiles: [f64; 2],
    /// What becomes of the values after that.
    pub curve: Curve,
    /// A pixel is foreground from this probability on; between 0 and 1.
    pub threshold: f64,
    /// Pixels that neighbouring tiles share, along which they are blended; at most half a tile.
    pub overlap: usize,
    /// Connected pieces of foreground of fewer pixels than this are taken for specks and wiped off. 0 keeps
    /// all.
    pub smallest: usize,
}

/// A function from [0, 1] to [0, 1] that every normalised pixel goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// As it is.
    Linear,
    /// The square root: what is dim becomes better visible, and the noise of counted photons is the same
    /// everywhere (Anscombe 1948).
    SquareRoot,
}

/// Whether the graph takes and gives grey tiles of one fixed size, and the table fits them.
pub(super) fn validate(manifest: &Manifest) -> Result<(), FieldError> {
    let Some(graph) = manifest.graph("segmenter") else { return Ok(()) };
    let Some(table) = manifest.segmentation else {
        return Err(FieldError::new("segmentation", "must say how pictures become tiles and logits a mask"));
    };
    let size = tile(graph.input("image"));
    let Some((height, width)) = size else {
        return Err(FieldError::new(
            "graph.segmenter.inputs.image",
            format!("must be f32 [batch, 1, h, w], h and w fixed and at most {LARGEST}"),
        ));
    };
    if let Some(other) = graph.inputs.iter().find(|s| s.name != "image") {
        let at = format!("graph.segmenter.inputs.{}", other.name);
        return Err(FieldError::new(at, "is not `image`: nobody would give it"));
    }
    if tile(graph.output("logits")) != size {
        let message = format!("must be f32 [batch, 1, {height}, {width}], as `image` is");
        return Err(FieldError::new("graph.segmenter.outputs.logits", message));
    }
    table.validate(height.min(width))
}

fn tile(spec: Option<&TensorSpec>) -> Option<(usize, usize)> {
    let spec = spec.filter(|s| s.dtype == Dtype::F32)?;
    match spec.shape.as_slice() {
        [batch, Dim::Fixed(1), Dim::Fixed(h), Dim::Fixed(w)]
            if batch.is_batch() && (1..=LARGEST).contains(h) && (1..=LARGEST).contains(w) =>
        {
            Some((*h, *w))
        }
        _ => None,
    }
}

impl Segmentation {
    /// Says which field is out of range, for tiles of so many pixels a side.
    ///
    /// # Errors
    /// Names the field, and what would be right.
    pub fn validate(&self, tile: usize) -> Result<(), FieldError> {
        let [low, high] = self.percentiles;
        if !(0.0 <= low && low < high && high <= 100.0) {
            return Err(FieldError::new(
                "segmentation.percentiles",
                format!("are [{low}, {high}], but two of 0 to 100, the lower first, are right"),
            ));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(FieldError::new(
                "segmentation.threshold",
                format!("is {}, but a probability between 0 and 1 is right", self.threshold),
            ));
        }
        if self.overlap > tile / 2 {
            return Err(FieldError::new(
                "segmentation.overlap",
                format!("is {}, but 0 to {}, half a tile, is right", self.overlap, tile / 2),
            ));
        }
        match self.smallest > tile * tile {
            true => Err(FieldError::new(
                "segmentation.smallest",
                format!("is {}, but 0 to {}, a tile's pixels, is right", self.smallest, tile * tile),
            )),
            false => Ok(()),
        }
    }
}
