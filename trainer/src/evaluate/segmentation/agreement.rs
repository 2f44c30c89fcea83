//! Everything that is measured of masks.

use atelier_transforms::segmentation::Mask;

use crate::data::nuclei::Nucleus;
use crate::evaluate::overlap::Overlap;

/// Borders agree that lie within so many pixels of each other.
pub const TOLERANCE: usize = 2;

/// Agreement of masks with the annotators', image by image.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Of the areas.
    pub overlap: Overlap,
    boundaries: Vec<f64>,
    counts: Vec<f64>,
}

impl Agreement {
    /// Adds an image; the mask has its size.
    pub fn add(&mut self, predicted: &Mask, truth: &Nucleus) {
        self.overlap.add(predicted, &truth.mask);
        self.boundaries.push(boundary_f1(predicted, &truth.mask));
        let (pieces, nuclei) = (predicted.pieces().len() as f64, truth.count as f64);
        self.counts.push((pieces - nuclei).abs() / nuclei.max(1.0));
    }

    /// Mean of the images' F1 of borders (Csurka et al. 2013): a border pixel is right that has one of the
    /// other mask within [`TOLERANCE`] pixels.
    #[must_use]
    pub fn boundary_f1(&self) -> f64 {
        mean(&self.boundaries)
    }

    /// Mean over images of how far the number of connected pieces is from the number of nuclei, as a part of
    /// that number.
    #[must_use]
    pub fn count_error(&self) -> f64 {
        mean(&self.counts)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn boundary_f1(predicted: &Mask, truth: &Mask) -> f64 {
    let (ours, theirs) = (predicted.rim(), truth.rim());
    if ours.area() == 0 && theirs.area() == 0 {
        return 1.0;
    }
    let part = |of: &Mask, near: &Mask| {
        let near = near.widened(TOLERANCE);
        let right = of.pixels().iter().zip(near.pixels()).filter(|(a, b)| **a && **b).count();
        right as f64 / of.area().max(1) as f64
    };
    let (precision, recall) = (part(&ours, &theirs), part(&theirs, &ours));
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(size: usize, from: usize, to: usize) -> Mask {
        let inside = |i: usize| (from..to).contains(&(i / size)) && (from..to).contains(&(i % size));
        Mask::new(size, size, (0..size * size).map(inside).collect()).unwrap()
    }

    #[test]
    fn borders_agree_up_to_two_pixels() {
        let truth = square(40, 10, 30);
        assert_eq!(boundary_f1(&truth, &truth), 1.0);
        assert_eq!(boundary_f1(&square(40, 11, 29), &truth), 1.0);
        assert_eq!(boundary_f1(&square(40, 14, 26), &truth), 0.0);
        let nothing = square(40, 0, 0);
        assert_eq!((boundary_f1(&nothing, &truth), boundary_f1(&nothing, &nothing)), (0.0, 1.0));
    }
}
