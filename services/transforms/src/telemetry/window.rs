//! The last rows of a stream, as the detector takes them.

use std::collections::VecDeque;

/// Keeps the last rows of a stream and gives the window that ends with each new one.
#[derive(Debug, Clone)]
pub struct Windows {
    rows: usize,
    columns: usize,
    clip: f32,
    /// At most `rows - 1` rows.
    before: VecDeque<f32>,
}

impl Windows {
    /// For windows of `rows` rows of `columns` numbers, each limited to `[-clip, clip]`.
    pub fn new(rows: usize, columns: usize, clip: f64) -> Self {
        let before = VecDeque::with_capacity(rows * columns);
        Self { rows, columns, clip: clip as f32, before }
    }

    /// Takes a row of just as many finite numbers as there are columns, and adds to `windows` the window that
    /// ends with it: its rows one after the other, the oldest first. False, and nothing is added, as long as
    /// there are too few rows for a window.
    pub fn push(&mut self, row: &[f32], windows: &mut Vec<f32>) -> bool {
        self.before.extend(row.iter().map(|value| value.clamp(-self.clip, self.clip)));
        if self.before.len() < self.rows * self.columns {
            return false;
        }
        windows.extend(&self.before);
        self.before.drain(..self.columns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_ends_a_window_once_there_are_enough() {
        let mut windows = Windows::new(3, 2, 4.0);
        let mut out = Vec::new();
        assert!(!windows.push(&[1.0, 0.0], &mut out) && !windows.push(&[2.0, 1.0], &mut out));
        assert!(windows.push(&[2000.0, -9.0], &mut out) && windows.push(&[3.0, 0.0], &mut out));
        assert_eq!(out, [1.0, 0.0, 2.0, 1.0, 4.0, -4.0, 2.0, 1.0, 4.0, -4.0, 3.0, 0.0]);
    }
}
