//! Models for people and for programs.

use std::fmt::Write;

use atelier_proto::models::v1::{Graph, Model, Tensor};
use serde_json::{Value, json};

use crate::cli::failure::one_line;
use crate::files::json as parts;

/// One line for each model; a `*` stands before the default of a kind.
pub(super) fn table(models: &[Model]) -> String {
    let heads = ["MODEL", "VERSION", "KIND", "ROLE", "DEVICE", "LICENCE", "SUMMARY"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(models.iter().map(|model| {
        let mark = if model.is_default { "*" } else { " " };
        let version = model.version.to_string();
        let texts = [&model.kind, &model.role, &model.device, &model.licence, &model.summary];
        let [kind, role, device, licence, summary] = texts.map(|text| one_line(text));
        [format!("{mark}{}", one_line(&model.name)), version, kind, role, device, licence, summary]
    }));
    if let Some([head, ..]) = rows.first_mut() {
        head.insert(0, ' ');
    }
    columns(&rows)
}

/// Everything about one model.
pub(super) fn details(model: &Model) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            rows.push([name.to_owned(), one_line(text)]);
        }
    };
    row("model", &format!("{}@{}", model.name, model.version));
    row("kind", &model.kind);
    row("default", if model.is_default { "for its kind" } else { "no" });
    row("summary", &model.summary);
    row("role", &model.role);
    row("device", &model.device);
    row("licence", &model.licence);
    row("data", &model.data);
    for graph in &model.graphs {
        row(
            &format!("graph {}", graph.name),
            &format!("{} -> {}", side(&graph.inputs), side(&graph.outputs)),
        );
    }
    if let Some(metrics) = &model.metrics {
        let mut flat = Vec::new();
        flatten("", &parts::object(metrics), &mut flat);
        flat.iter().for_each(|(name, text)| row(name, text));
    }
    columns(&rows)
}

/// Everything about one model, as JSON.
pub(super) fn json(model: &Model) -> Value {
    json!({
        "name": model.name,
        "version": model.version,
        "kind": model.kind,
        "default": model.is_default,
        "summary": model.summary,
        "licence": model.licence,
        "data": model.data,
        "role": model.role,
        "device": model.device,
        "graphs": model.graphs.iter().map(graph).collect::<Value>(),
        "metrics": model.metrics.as_ref().map(parts::object),
    })
}

fn graph(graph: &Graph) -> Value {
    let tensor = |t: &Tensor| json!({ "name": t.name, "dtype": t.dtype, "shape": t.shape });
    json!({
        "name": graph.name,
        "inputs": graph.inputs.iter().map(tensor).collect::<Value>(),
        "outputs": graph.outputs.iter().map(tensor).collect::<Value>(),
    })
}

/// `image f32 [batch, 1, 28, 28]`, one after the other.
fn side(tensors: &[Tensor]) -> String {
    let tensor = |tensor: &Tensor| {
        let size = |size: &i64| if *size < 0 { "batch".to_owned() } else { size.to_string() };
        let shape: Vec<String> = tensor.shape.iter().map(size).collect();
        format!("{} {} [{}]", tensor.name, tensor.dtype, shape.join(", "))
    };
    tensors.iter().map(tensor).collect::<Vec<_>>().join(", ")
}

/// Metrics within metrics get names like `baseline_psnr_db.bm3d`.
fn flatten(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, into);
            }
        }
        Value::String(text) => into.push((name.to_owned(), text.clone())),
        value => into.push((name.to_owned(), value.to_string())),
    }
}

/// Columns as wide as their widest cell, two spaces apart; nothing after the last.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let tensor = Tensor { name: "image".into(), dtype: "f32".into(), shape: vec![-1, 1, 28, 28] };
        let psnr = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(29.5)) };
        Model {
            name: "fashion-dae".into(),
            version: 2,
            kind: "denoising-autoencoder".into(),
            role: "codec".into(),
            device: "cpu".into(),
            licence: "MIT".into(),
            summary: "Denoises\nclothes".into(),
            graphs: vec![Graph { name: "blind".into(), inputs: vec![tensor.clone()], outputs: vec![tensor] }],
            metrics: Some(prost_types::Struct { fields: [("psnr_db".to_owned(), psnr)].into() }),
            is_default: true,
            ..Model::default()
        }
    }

    #[test]
    fn a_table_has_one_line_for_each_model_and_marks_the_default() {
        let other = Model { is_default: false, ..model() };
        let text = table(&[model(), other]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], " MODEL        VERSION  KIND                   ROLE   DEVICE  LICENCE  SUMMARY");
        assert!(lines[1].starts_with("*fashion-dae  2  "), "{}", lines[1]);
        assert!(lines[1].ends_with("Denoises clothes"), "{}", lines[1]);
        assert!(lines[2].starts_with(" fashion-dae  2  "), "{}", lines[2]);
    }

    #[test]
    fn details_show_graphs_and_metrics() {
        let text = details(&model());
        let expected = "graph blind  image f32 [batch, 1, 28, 28] -> image f32 [batch, 1, 28, 28]";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("psnr_db      29.5\n"), "{text}");
        assert_eq!(json(&model())["metrics"]["psnr_db"], json!(29.5));
    }
}
