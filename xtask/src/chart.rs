//! The chart's README: its table of values is made from the comments of `values.yaml`.

mod comments;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::layout::Layout;
use comments::Entry;

const BEGIN: &str = "<!-- From the comments of values.yaml, by `cargo xtask chart-readme`. -->\n";
const END: &str = "<!-- The end of what is made. -->\n";

/// Writes the table anew; says where it lies.
///
/// # Errors
/// One line: a file of the chart is missing, has no place for the table, or cannot be written.
pub(crate) fn write_readme(layout: &Layout) -> Result<PathBuf> {
    let (path, _, made) = readme(layout)?;
    fs::write(&path, made).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The README, as it is and as it should be.
fn readme(layout: &Layout) -> Result<(PathBuf, String, String)> {
    let chart = layout.workspace().join("helm/atelier");
    let read = |name: &str| {
        let path = chart.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (values, readme) = (read("values.yaml")?, read("README.md")?);
    let made = with_table(&readme, &table(&comments::entries(&values)?))?;
    Ok((chart.join("README.md"), readme, made))
}

/// The README with this table in the place of the one that it has.
fn with_table(readme: &str, table: &str) -> Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).context("README.md has no place for the table of values")?;
    let (_, after) = rest.split_once(END).context("README.md has no end of the table of values")?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

fn table(entries: &[Entry]) -> String {
    let mut table = "| value | default | what it is |\n| --- | --- | --- |\n".to_owned();
    for Entry { path, default, comment } in entries {
        let default = if default.is_empty() { String::new() } else { format!("`{}`", cell(default)) };
        table.push_str(&format!("| `{path}` | {default} | {} |\n", cell(comment)));
    }
    table
}

/// Text that does not end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_is_up_to_date() {
        let (_, readme, made) = readme(&Layout::find().unwrap()).unwrap();
        assert!(readme == made, "helm/atelier/README.md is out of date: run `cargo xtask chart-readme`");
    }

    #[test]
    fn every_value_is_explained() {
        let values = fs::read_to_string(Layout::find().unwrap().workspace().join("helm/atelier/values.yaml"));
        for entry in comments::entries(&values.unwrap()).unwrap() {
            // A value below one that is explained may speak for itself; the top ones may not.
            assert!(entry.path.contains('.') || !entry.comment.is_empty(), "{}", entry.path);
        }
    }

    #[test]
    fn the_table_takes_the_place_of_the_old_one_and_of_nothing_else() {
        let readme = format!("# Chart\n{BEGIN}old\n{END}the end\n");
        let entry =
            |default: &str| Entry { path: "a.b".into(), default: default.into(), comment: "x | y".into() };
        let made = with_table(&readme, &table(&[entry("1"), entry("")])).unwrap();
        assert!(made.starts_with("# Chart\n") && made.ends_with("the end\n"), "{made}");
        assert!(made.contains("| `a.b` | `1` | x \\| y |\n| `a.b` |  | x \\| y |\n"), "{made}");
        assert!(!made.contains("old"), "{made}");
        assert!(with_table("# Chart\n", "").is_err());
    }
}
