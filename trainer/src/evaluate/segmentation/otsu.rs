//! The threshold between two classes of grey levels (Otsu 1979).

use atelier_transforms::segmentation::{Mask, Plane};

/// Pieces of fewer pixels are specks of noise, not nuclei.
pub const SMALLEST: usize = 20;

/// The grey level, of 0 to 255, above which the brighter class begins: where the variance between the two
/// classes is greatest, the lowest such level.
#[must_use]
pub fn threshold(picture: &Plane) -> u8 {
    let mut histogram = [0f64; 256];
    for value in picture.values() {
        histogram[usize::from(value.clamp(0.0, 255.0) as u8)] += 1.0;
    }
    let count = picture.values().len() as f64;
    let levels = || (0u8..=255).zip(histogram.map(|n| n / count));
    let mean: f64 = levels().map(|(level, part)| f64::from(level) * part).sum();
    let (mut weight, mut sum) = (0.0, 0.0);
    let mut best = (0, f64::NEG_INFINITY);
    for (level, part) in levels() {
        weight += part;
        sum += f64::from(level) * part;
        let between = (mean * weight - sum).powi(2) / f64::max(weight * (1.0 - weight), 1e-12);
        if between > best.1 {
            best = (level, between);
        }
    }
    best.0
}

/// What is brighter than the threshold; `picture` has grey levels from 0 to 255.
#[must_use]
pub fn segment(picture: &Plane) -> Mask {
    Mask::of(picture, f32::from(threshold(picture)) + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_between_two_classes() {
        let values: Vec<f32> = (0..300)
            .map(|i| if i % 3 == 0 { 100.0 + (i % 20) as f32 } else { 10.0 + (i % 7) as f32 })
            .collect();
        let picture = Plane::new(10, 30, values).unwrap();
        assert!((16..100).contains(&threshold(&picture)));
        assert_eq!(segment(&picture).area(), 100);
    }
}
