//! A model card (Mitchell et al. 2019): `README.md` beside a package's `package.toml`, for people. Made by
//! `atelier-train evaluate` from the package, the report, and something that the model made.

pub mod exhibit;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use atelier_package::{Package, TensorSpec};

use crate::evaluate::report::Report;
use exhibit::Exhibit;

/// Writes the card, and the exhibit's file if it has one, into the package's directory. Returns the card's path.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write(package: &Package, report: &Report, exhibit: Option<&Exhibit>) -> anyhow::Result<PathBuf> {
    let directory = package.directory();
    if let Some(Exhibit::Picture { file, png, .. }) = exhibit {
        let path = directory.join(file);
        std::fs::write(&path, png).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = directory.join("README.md");
    std::fs::write(&path, render(package, report, exhibit)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn render(package: &Package, report: &Report, exhibit: Option<&Exhibit>) -> anyhow::Result<String> {
    let manifest = package.manifest();
    let mut card = String::new();
    writeln!(
        card,
        "# {} {}\n\n{}.",
        manifest.name,
        manifest.version,
        manifest.summary.trim_end_matches('.')
    )?;
    match exhibit {
        Some(Exhibit::Picture { file, caption, .. }) => {
            writeln!(card, "\n![{caption}]({file})\n\n*{caption}*")?
        }
        Some(Exhibit::Passage { text, caption }) => {
            writeln!(card, "\n```\n{}\n```\n\n*{caption}*", text.trim())?
        }
        None => {}
    }

    writeln!(card, "\n## Figures\n\n{}.\n", report.protocol)?;
    writeln!(
        card,
        "| figure | value | beside it | accepted | aim | |\n| --- | --- | --- | --- | --- | --- |"
    )?;
    for figure in &report.figures {
        let beside: Vec<String> = figure.baselines.iter().map(|(name, x)| format!("{name} {x:.4}")).collect();
        let bound = |b: Option<crate::evaluate::report::Bound>| b.map_or(String::new(), |b| b.to_string());
        writeln!(
            card,
            "| {} | {:.4} | {} | {} | {} | {} |",
            figure.name,
            figure.value,
            beside.join(", "),
            bound(figure.accepted),
            bound(figure.aim),
            figure.verdict()
        )?;
    }
    for note in &report.notes {
        writeln!(card, "\n- {note}")?;
    }
    writeln!(
        card,
        "\n`atelier-train evaluate models/{}/{} --data DIR` prints these from the exported graphs.",
        manifest.name, manifest.version
    )?;

    writeln!(
        card,
        "\n## Data and licence\n\n- Data: {}\n- Licence of the weights: {}",
        manifest.data, manifest.licence
    )?;
    if let Some(training) = &manifest.training {
        writeln!(
            card,
            "\n## Training\n\nRecipe `trainer/recipes/{}.toml`, seed {}, {} minutes on {}.",
            training.recipe, training.seed, training.minutes, training.machine
        )?;
    }
    writeln!(card, "\n## Graphs\n\n| graph | inputs | outputs |\n| --- | --- | --- |")?;
    for graph in &manifest.graphs {
        writeln!(card, "| `{}` | {} | {} |", graph.name, tensors(&graph.inputs), tensors(&graph.outputs))?;
    }
    if let Some(limits) = &manifest.limits {
        writeln!(card, "\n## Limits and misuse\n\n{limits}")?;
    }
    Ok(card)
}

fn tensors(specs: &[TensorSpec]) -> String {
    let one = |s: &TensorSpec| {
        let range = s.range.map_or(String::new(), |[low, high]| format!(" in [{low}, {high}]"));
        format!("`{}` {} {}{range}", s.name, s.dtype, s.shape_text())
    };
    specs.iter().map(one).collect::<Vec<_>>().join(", ")
}
