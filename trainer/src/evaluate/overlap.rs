//! How well masks of foreground agree.

use atelier_transforms::segmentation::Mask;

/// Agreement of masks with the true ones, image by image.
///
/// With `P` predicted and `T` true pixels, IoU is `|P ∩ T| / |P ∪ T|` and Dice `2 |P ∩ T| / (|P| + |T|)`;
/// both are 1 where neither has any foreground.
#[derive(Clone, Debug, Default)]
pub struct Overlap {
    images: Vec<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    both: usize,
    either: usize,
}

impl Counts {
    fn of(predicted: &Mask, truth: &Mask) -> Self {
        let pairs = || predicted.pixels().iter().zip(truth.pixels());
        let both = pairs().filter(|(p, t)| **p && **t).count();
        let either = pairs().filter(|(p, t)| **p || **t).count();
        Self { both, either }
    }

    fn iou(self) -> f64 {
        if self.either == 0 { 1.0 } else { self.both as f64 / self.either as f64 }
    }

    fn dice(self) -> f64 {
        // |P| + |T| is what is in either, and once more what is in both.
        let sizes = self.either + self.both;
        if sizes == 0 { 1.0 } else { 2.0 * self.both as f64 / sizes as f64 }
    }
}

impl Overlap {
    /// Adds an image; both masks have its size.
    pub fn add(&mut self, predicted: &Mask, truth: &Mask) {
        self.images.push(Counts::of(predicted, truth));
    }

    /// Adds an image by the one of several masks that is most like the truth. Nothing is added without a mask.
    pub fn add_best(&mut self, predicted: impl Iterator<Item = Mask>, truth: &Mask) {
        let counts = predicted.map(|mask| Counts::of(&mask, truth));
        self.images.extend(counts.max_by(|a, b| a.iou().total_cmp(&b.iou())));
    }

    fn mean(&self, of: impl Fn(Counts) -> f64) -> f64 {
        self.images.iter().map(|&c| of(c)).sum::<f64>() / self.images.len().max(1) as f64
    }

    /// Mean IoU of the images.
    #[must_use]
    pub fn iou(&self) -> f64 {
        self.mean(Counts::iou)
    }

    /// Mean Dice of the images.
    #[must_use]
    pub fn dice(&self) -> f64 {
        self.mean(Counts::dice)
    }

    /// IoU of all pixels of all images together.
    #[must_use]
    pub fn pooled_iou(&self) -> f64 {
        let sum = |of: fn(&Counts) -> usize| self.images.iter().map(of).sum::<usize>();
        Counts { both: sum(|c| c.both), either: sum(|c| c.either) }.iou()
    }

    /// The IoU under which the given part of the images lies, interpolated as NumPy's `quantile` does.
    #[must_use]
    pub fn iou_quantile(&self, part: f64) -> f64 {
        let mut sorted: Vec<f64> = self.images.iter().map(|c| c.iou()).collect();
        sorted.sort_by(f64::total_cmp);
        let place = part * sorted.len().saturating_sub(1) as f64;
        let at = |i: usize| sorted.get(i.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN);
        let below = at(place.floor() as usize);
        below + (at(place.ceil() as usize) - below) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(pixels: [u8; 8]) -> Mask {
        Mask::new(2, 4, pixels.iter().map(|p| *p > 0).collect()).unwrap()
    }

    #[test]
    fn overlaps_are_averaged_over_images_or_pooled_over_pixels() {
        let mut overlap = Overlap::default();
        overlap.add(&mask([1, 1, 0, 0, 0, 0, 0, 0]), &mask([0, 1, 1, 0, 0, 0, 0, 0]));
        overlap.add(&mask([1; 8]), &mask([1; 8]));
        overlap.add(&mask([0; 8]), &mask([0; 8]));
        assert!((overlap.iou() - (1.0 / 3.0 + 1.0 + 1.0) / 3.0).abs() < 1e-12);
        assert!((overlap.dice() - 2.5 / 3.0).abs() < 1e-12);
        assert!((overlap.pooled_iou() - 9.0 / 11.0).abs() < 1e-12);
        // Sorted 1/3, 1, 1: a quarter of the way lies between the first two.
        assert!((overlap.iou_quantile(0.25) - (1.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn of_several_masks_the_one_that_is_most_like_the_truth_counts() {
        let mut overlap = Overlap::default();
        let truth = mask([1, 1, 0, 0, 0, 0, 0, 0]);
        overlap.add_best([[1; 8], [1, 1, 1, 0, 0, 0, 0, 0], [0; 8]].map(mask).into_iter(), &truth);
        assert!((overlap.iou() - 2.0 / 3.0).abs() < 1e-12);
    }
}
