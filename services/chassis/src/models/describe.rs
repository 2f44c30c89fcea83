//! A package in the words of the API.

use atelier_package::{Dim, GraphSpec, Manifest, TensorSpec};
use atelier_proto::models::v1::{Graph, Model, Tensor};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// What a package says of itself, and where it is served.
pub(super) fn describe(manifest: &Manifest, role: &str, device: String, is_default: bool) -> Model {
    Model {
        name: manifest.name.to_string(),
        version: manifest.version.get(),
        kind: manifest.kind.to_string(),
        summary: manifest.summary.clone(),
        licence: manifest.licence.clone(),
        data: manifest.data.clone(),
        role: role.to_owned(),
        device,
        graphs: manifest.graphs.iter().map(graph).collect(),
        metrics: Some(table(&manifest.metrics)),
        is_default,
    }
}

fn graph(spec: &GraphSpec) -> Graph {
    Graph {
        name: spec.name.clone(),
        inputs: spec.inputs.iter().map(tensor).collect(),
        outputs: spec.outputs.iter().map(tensor).collect(),
    }
}

fn tensor(spec: &TensorSpec) -> Tensor {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        Dim::Symbol(_) => -1,
    };
    Tensor {
        name: spec.name.clone(),
        dtype: spec.dtype.to_string(),
        shape: spec.shape.iter().map(size).collect(),
    }
}

fn table(table: &toml::Table) -> Struct {
    Struct { fields: table.iter().map(|(key, v)| (key.clone(), Value { kind: Some(value(v)) })).collect() }
}

fn value(value: &toml::Value) -> Kind {
    match value {
        toml::Value::String(text) => Kind::StringValue(text.clone()),
        // Metrics are figures: what a double cannot hold exactly is not one.
        toml::Value::Integer(n) => Kind::NumberValue(*n as f64),
        toml::Value::Float(x) => Kind::NumberValue(*x),
        toml::Value::Table(inner) => Kind::StructValue(table(inner)),
        // The package format has no others in metrics.
        other => Kind::StringValue(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_described_with_its_graphs_and_metrics() {
        let text = r#"
            name = "tiny"
            version = 2
            kind = "gan"
            summary = "Makes dots"
            licence = "MIT"
            data = "none"
            [[graph]]
            name = "generator"
            file = "generator.onnx"
            sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
            inputs = [{ name = "z", dtype = "f32", shape = ["batch", 8] }]
            outputs = [{ name = "image", dtype = "f32", shape = ["batch", 1, 4, 4] }]
            [metrics]
            images = 10
            fid = { ours = 1.5, note = "HOG" }
        "#;
        let manifest = Manifest::parse(text, "package.toml".as_ref()).unwrap();
        let model = describe(&manifest, "image", "cpu".into(), true);
        assert_eq!((model.name.as_str(), model.version, model.kind.as_str()), ("tiny", 2, "gan"));
        assert_eq!((model.role.as_str(), model.device.as_str(), model.is_default), ("image", "cpu", true));
        assert_eq!(model.graphs[0].inputs[0].shape, [-1, 8]);
        assert_eq!(model.graphs[0].outputs[0].dtype, "f32");
        let metrics = model.metrics.unwrap();
        assert_eq!(metrics.fields["images"].kind, Some(Kind::NumberValue(10.0)));
        let Some(Kind::StructValue(fid)) = &metrics.fields["fid"].kind else { panic!("a table") };
        assert_eq!(fid.fields["ours"].kind, Some(Kind::NumberValue(1.5)));
        assert_eq!(fid.fields["note"].kind, Some(Kind::StringValue("HOG".into())));
    }
}
