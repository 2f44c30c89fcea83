//! The same scale for pictures of any exposure.

use atelier_package::{Curve, Segmentation};

use super::Plane;

/// The picture with its lower percentile at 0 and its upper one at 1, clipped, through the table's curve. The
/// unit of the values that come in does not matter, nor does what was added to all of them. A picture without
/// contrast between the two percentiles becomes 0 everywhere.
pub fn normalise(picture: &Plane, table: &Segmentation) -> Plane {
    let [low, high] = table.percentiles.map(|q| percentile(&picture.values, q));
    let range = high - low;
    let curve = |x: f32| match table.curve {
        Curve::Linear => x,
        Curve::SquareRoot => x.sqrt(),
    };
    let value = |&x: &f32| match range > 0.0 {
        true => curve(((x - low) / range).clamp(0.0, 1.0)),
        false => 0.0,
    };
    Plane { values: picture.values.iter().map(value).collect(), ..*picture }
}

/// The value under which `q` percent of all lie, interpolated between neighbours (the definition 7 of Hyndman
/// and Fan 1996, which is NumPy's); 0 where there is no value.
pub fn percentile(values: &[f32], q: f64) -> f32 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = q.clamp(0.0, 100.0) / 100.0 * last as f64;
    let below = (place.floor() as usize).min(last);
    let mut sorted = values.to_vec();
    let (_, low, above) = sorted.select_nth_unstable_by(below, f32::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    low + (high - low) * (place - below as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(percentiles: [f64; 2], curve: Curve) -> Segmentation {
        Segmentation { percentiles, curve, threshold: 0.5, overlap: 0, smallest: 0 }
    }

    fn row(values: &[f32]) -> Plane {
        Plane::new(1, values.len(), values.to_vec()).unwrap()
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([7, 1, 5, 2, 9, 3], [0, 1, 37, 50, 99.8, 100])
        let values = [7.0, 1.0, 5.0, 2.0, 9.0, 3.0];
        for (q, expected) in [(0.0, 1.0), (1.0, 1.05), (37.0, 2.85), (50.0, 4.0), (99.8, 8.98), (100.0, 9.0)]
        {
            assert!((percentile(&values, q) - expected).abs() < 1e-5, "{q}: {}", percentile(&values, q));
        }
        assert_eq!(percentile(&[4.0], 30.0), 4.0);
    }

    #[test]
    fn a_darker_or_fainter_exposure_of_the_same_thing_becomes_the_same_picture() {
        let table = table([1.0, 99.0], Curve::SquareRoot);
        let values: Vec<f32> = (0..200).map(|i| (i * i % 211) as f32).collect();
        let other: Vec<f32> = values.iter().map(|x| 0.25 * x + 17.0).collect();
        let (one, other) = (normalise(&row(&values), &table), normalise(&row(&other), &table));
        assert!(one.values.iter().all(|x| (0.0..=1.0).contains(x)));
        for (a, b) in one.values.iter().zip(&other.values) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn what_lies_beyond_the_percentiles_is_clipped_and_the_curve_raises_what_is_dim() {
        let picture = row(&[0.0, 10.0, 20.0, 30.0, 40.0]);
        let linear = normalise(&picture, &table([25.0, 75.0], Curve::Linear));
        assert_eq!(linear.values, [0.0, 0.0, 0.5, 1.0, 1.0]);
        let root = normalise(&picture, &table([0.0, 100.0], Curve::SquareRoot));
        assert_eq!(root.values, [0.0, 0.5, 0.5_f32.sqrt(), 0.75_f32.sqrt(), 1.0]);
    }

    #[test]
    fn a_picture_without_contrast_is_black() {
        let flat = normalise(&row(&[3.5; 9]), &table([1.0, 99.8], Curve::SquareRoot));
        assert_eq!(flat.values, [0.0; 9]);
    }
}
