//! What was measured, as tables for people and JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine;

/// One cell.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Text(String),
    Number(f64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl Cell {
    /// Three digits that say something, and no fewer than the whole number has.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(n) if !n.is_finite() => "-".into(),
            Self::Number(n) if n.fract() == 0.0 || n.abs() >= 100.0 => format!("{n:.0}"),
            Self::Number(n) if n.abs() >= 10.0 => format!("{n:.1}"),
            Self::Number(n) if n.abs() >= 0.1 => format!("{n:.2}"),
            Self::Number(n) => format!("{n:.2e}"),
        }
    }
}

/// A table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// How to read it.
    pub(crate) about: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(title: &str, about: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), about: about.into(), columns, rows: Vec::new() }
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let width = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).chain(self.columns.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:>width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let rule: String = widths.iter().map(|width| format!("{}:|", "-".repeat(width + 1))).collect();
        let mut text = format!("### {}\n\n{}\n\n{}|{rule}\n", self.title, self.about, line(&self.columns));
        for row in &rows {
            let _ = write!(text, "{}", line(row));
        }
        text
    }
}

/// All tables of a run, with the machine they were measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    processor: String,
    cores: usize,
    rounds: usize,
    seconds: f64,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    pub(crate) fn new(rounds: usize, seconds: f64) -> Self {
        Self { processor: machine::processor(), cores: machine::cores(), rounds, seconds, tables: Vec::new() }
    }

    /// One line on what the figures are of.
    pub(crate) fn heading(&self) -> String {
        let Self { processor, cores, rounds, seconds, .. } = self;
        format!(
            "{processor}, {cores} cores, client and servers on the same machine; medians of {rounds} \
             interleaved rounds of {seconds} s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_whose_columns_are_aligned() {
        let mut table = Table::new("Limit", "Less is better.", &["graph", "us"]);
        table.rows.push(vec!["small".into(), 0.1234.into()]);
        table.rows.push(vec!["b".into(), 1234.5.into()]);
        let expected = "### Limit\n\nLess is better.\n\n| graph |   us |\n|------:|-----:|\n\
                        | small | 0.12 |\n|     b | 1234 |\n";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn figures_are_shown_to_three_digits_and_missing_ones_as_a_dash() {
        let text = |n: f64| Cell::from(n).text();
        assert_eq!([text(32.0), text(12.34), text(0.00123), text(f64::NAN)], ["32", "12.3", "1.23e-3", "-"]);
    }
}
