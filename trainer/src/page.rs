//! One HTML page about a run: what was asked for, how it went, and everything there is to look at.
//!
//! The page stands alone (pictures and sounds are inside it), so that it can be sent to somebody.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::recipe::RecipeConfig;
use crate::run::RunDir;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
pre{background:#f4f4f4;padding:1rem;overflow:auto;font-size:13px}\
img{max-width:100%;image-rendering:pixelated}figure{margin:1rem 0}figcaption{color:#555}\
table{border-collapse:collapse;font-size:14px}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}";

/// Samples of one step are shown at once; those of earlier steps can be unfolded.
struct Sample {
    step: u64,
    path: PathBuf,
}

/// Writes `report.html` into the run's directory and returns its path.
///
/// # Errors
/// Names the file that cannot be read or written.
pub fn write(run: &RunDir, config: &RecipeConfig) -> anyhow::Result<PathBuf> {
    let path = run.path().join("report.html");
    std::fs::write(&path, render(run, config)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn render(run: &RunDir, config: &RecipeConfig) -> anyhow::Result<String> {
    let mut page = String::new();
    let title = escape(&config.package);
    let summary = run.summary()?;
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{}</p><p>Data: {}. Seed {}. {} minutes on {}.</p>",
        escape(&config.summary),
        escape(&config.data),
        config.seed,
        summary.minutes,
        escape(&summary.machine)
    )?;
    if let Ok(curve) = std::fs::read_to_string(run.curve()) {
        // The curve is an SVG of our own: it may stand in the page as it is.
        write!(page, "<h2>Course</h2>{curve}")?;
    }
    page.push_str(&validations(&run.metrics()));
    page.push_str(&samples(&run.samples())?);
    let recipe = std::fs::read_to_string(run.recipe_path())
        .with_context(|| format!("cannot read {}", run.recipe_path().display()))?;
    write!(page, "<h2>Recipe</h2><pre>{}</pre></html>", escape(&recipe))?;
    Ok(page)
}

/// A row for each validation, a column for each figure.
fn validations(metrics: &Path) -> String {
    let text = std::fs::read_to_string(metrics).unwrap_or_default();
    let mut rows: BTreeMap<u64, BTreeMap<String, f64>> = BTreeMap::new();
    for line in text.lines() {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else { continue };
        let Some(step) = line.get("step").and_then(Value::as_u64) else { continue };
        for (key, value) in &line {
            if let (Some(name), Some(value)) = (key.strip_prefix("validation_"), value.as_f64()) {
                // A resumed run says again what it had said: the last word counts.
                rows.entry(step).or_default().insert(name.to_owned(), value);
            }
        }
    }
    let Some(names) = rows.values().next().map(|r| r.keys().cloned().collect::<Vec<_>>()) else {
        return String::new();
    };
    let mut html = String::from("<h2>Validation</h2><table><tr><th>step");
    html.extend(names.iter().map(|name| format!("<th>{}", escape(name))));
    for (step, figures) in &rows {
        html.push_str(&format!("<tr><td>{step}"));
        html.extend(names.iter().map(|n| figures.get(n).map_or("<td>".into(), |x| format!("<td>{x:.4}"))));
    }
    html + "</table>"
}

fn samples(directory: &Path) -> anyhow::Result<String> {
    let mut found: Vec<Sample> = Vec::new();
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        found.push(Sample { step: digits.parse().unwrap_or(0), path });
    }
    // The newest first; those of one step by name.
    found.sort_by(|a, b| b.step.cmp(&a.step).then_with(|| a.path.cmp(&b.path)));
    let Some(last) = found.first().map(|s| s.step) else { return Ok(String::new()) };
    let (newest, earlier): (Vec<Sample>, Vec<Sample>) = found.into_iter().partition(|s| s.step == last);
    let mut html = format!("<h2>Samples after step {last}</h2>");
    for sample in &newest {
        html.push_str(&shown(sample)?);
    }
    if !earlier.is_empty() {
        html.push_str("<details><summary>Earlier samples</summary>");
        for sample in &earlier {
            html.push_str(&shown(sample)?);
        }
        html.push_str("</details>");
    }
    Ok(html)
}

fn shown(sample: &Sample) -> anyhow::Result<String> {
    let path = &sample.path;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let inside = |mime: &str| format!("data:{mime};base64,{}", STANDARD.encode(&bytes));
    let body = match path.extension().and_then(|e| e.to_str()) {
        Some("png") => format!("<img alt=\"\" src=\"{}\">", inside("image/png")),
        Some("wav") => format!("<audio controls src=\"{}\"></audio>", inside("audio/wav")),
        Some("txt" | "csv") => format!("<pre>{}</pre>", escape(&String::from_utf8_lossy(&bytes))),
        _ => return Ok(String::new()),
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    Ok(format!("<figure>{body}<figcaption>{}</figcaption></figure>", escape(name)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_validation_is_a_row_and_the_last_word_of_a_resumed_run_counts() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = dir.path().join("metrics.jsonl");
        let lines = "{\"step\":5,\"validation_mse\":0.5}\n{\"step\":5,\"loss\":1}\n{\"step\":9,\"validation_mse\":0.25}\n\
                     {\"step\":9,\"validation_mse\":0.125}\nbroken\n";
        std::fs::write(&metrics, lines).unwrap();
        let html = validations(&metrics);
        assert!(html.contains("<td>5<td>0.5000") && html.contains("<td>9<td>0.1250"), "{html}");
        assert!(!html.contains("0.2500"), "{html}");
    }

    #[test]
    fn samples_of_the_last_step_come_first_and_their_text_cannot_break_the_page() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0000010.txt"), "old").unwrap();
        std::fs::write(dir.path().join("0000200.txt"), "<b>new</b>").unwrap();
        std::fs::write(dir.path().join("0000200.wav"), "RIFF").unwrap();
        let html = samples(dir.path()).unwrap();
        assert!(html.contains("Samples after step 200") && html.contains("&lt;b&gt;new"), "{html}");
        assert!(html.contains("data:audio/wav;base64,UklGRg=="), "{html}");
        assert!(html.find("old").unwrap() > html.find("Earlier samples").unwrap());
    }
}
