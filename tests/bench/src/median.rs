//! Medians: machines are shared, and one slow round should not be the result.

/// The middle of these; between two, their mean. NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2, middle.checked_sub(1).and_then(|low| values.get(low))) {
        (Some(high), 0, Some(low)) => f64::midpoint(*low, *high),
        (Some(high), _, _) => *high,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_middle() {
        assert_eq!(median([3.0, 1.0, 900.0]), 3.0);
        assert_eq!(median([4.0, 2.0]), 3.0);
        assert!(median([]).is_nan());
    }
}
