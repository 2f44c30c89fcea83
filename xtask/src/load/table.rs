//! The figures as a table, in Markdown, so that it can be put into a page as it is.

use super::measured::Measured;

/// What was measured of a profile at one door.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Row {
    /// The profile.
    pub(crate) profile: String,
    /// "gateway", or the role that was called past it.
    pub(crate) door: String,
    /// The figures.
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

const HEAD: [&str; 11] = [
    "profile",
    "door",
    "calls",
    "rps asked",
    "had",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "p99/p50",
    "p50/base",
    "codes",
];

/// The table, each row with its ratio to the baseline.
pub(crate) fn table(rows: &[(&Row, Option<f64>)]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|(row, ratio)| {
        let measured = &row.measured;
        let codes = measured.codes.iter().map(|(code, calls)| format!("{code} {calls}"));
        vec![
            row.profile.clone(),
            row.door.clone(),
            measured.calls.to_string(),
            if measured.asked > 0.0 { format!("{:.0}", measured.asked) } else { "-".to_owned() },
            format!("{:.1}", measured.had),
            format!("{:.1}", measured.p50_ms),
            format!("{:.1}", measured.p95_ms),
            format!("{:.1}", measured.p99_ms),
            format!("{:.1}", measured.spread()),
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")),
            codes.collect::<Vec<_>>().join(", "),
        ]
    }));
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    // Words to the left, figures to the right.
    let is_text = |column: usize| column < 2 || column == HEAD.len() - 1;
    let shown = |line: &Vec<String>| {
        let cells =
            line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match is_text(column) {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match is_text(column) {
        true => "-".repeat(width),
        false => format!("{}:", "-".repeat(width.saturating_sub(1))),
    });
    let rule = format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    let mut text = shown(&lines[0]) + &rule;
    text.extend(lines[1..].iter().map(shown));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let report = br#"{"total":2000000000,"details":[{"latency":1500000,"status":"OK"},{"latency":3000000,"status":"OK"}]}"#;
        let measured = Measured::read(report, 1, "OK").unwrap();
        let row = Row { profile: "a-long-name".into(), door: "text".into(), measured };
        let text = table(&[(&row, Some(2.0)), (&row, None)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[2].contains("| a-long-name | text |") && lines[2].contains("|    1.5 |"), "{text}");
        assert!(lines[2].ends_with("| OK 2  |") && lines[3].contains("|        - |"), "{text}");
    }
}
