//! How long a word takes.
//!
//! A package keeps, for each digit of each speaker, quantiles of the durations of the recordings that it was
//! trained on, at even distances from the 5 % to the 95 % quantile.

/// Quantiles of durations (in samples), `count` of them, at least two, the lesser first; all 0 if there are
/// no durations.
#[must_use]
pub fn quantiles(durations: &[usize], count: usize) -> Vec<u32> {
    let mut sorted: Vec<f64> = durations.iter().map(|&n| n as f64).collect();
    sorted.sort_by(f64::total_cmp);
    let count = count.max(2);
    let at = |i: usize| {
        let part = 0.05 + 0.9 * i as f64 / (count - 1) as f64;
        between(&sorted, part * sorted.len().saturating_sub(1) as f64).round() as u32
    };
    (0..count).map(at).collect()
}

/// The duration that a number drawn evenly from [0, 1] chooses, by straight lines between the quantiles; 0
/// if there are none.
#[must_use]
pub fn draw(quantiles: &[u32], uniform: f64) -> usize {
    let values: Vec<f64> = quantiles.iter().map(|&q| f64::from(q)).collect();
    between(&values, uniform.clamp(0.0, 1.0) * quantiles.len().saturating_sub(1) as f64).round() as usize
}

/// The value at a place that may lie between two.
fn between(values: &[f64], place: f64) -> f64 {
    let low = place.floor() as usize;
    let (Some(&a), Some(&last)) = (values.get(low), values.last()) else { return 0.0 };
    let b = values.get(low + 1).copied().unwrap_or(last);
    a + (b - a) * (place - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_durations() {
        let durations: Vec<usize> = (0..=100).rev().map(|i| 1000 + 10 * i).collect();
        assert_eq!(quantiles(&durations, 3), [1050, 1500, 1950]);
        assert_eq!(quantiles(&[700], 2), [700, 700]);
        assert_eq!(quantiles(&[], 2), [0, 0]);
    }

    #[test]
    fn what_is_drawn_runs_from_the_first_quantile_to_the_last() {
        let table = [1000, 2000, 4000];
        let drawn: Vec<usize> = [0.0, 0.25, 0.5, 0.75, 1.0].iter().map(|&u| draw(&table, u)).collect();
        assert_eq!(drawn, [1000, 1500, 2000, 3000, 4000]);
        assert_eq!((draw(&table, -3.0), draw(&table, 9.0), draw(&[], 0.5)), (1000, 4000, 0));
        assert_eq!(draw(&[5], 0.7), 5);
    }
}
