//! `[segmentation]` in a manifest.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::path::Path;

use atelier_package::{Curve, Manifest};

const GOOD: &str = r#"
name = "cells"
version = 1
kind = "segmentation"
summary = "Finds cells"
licence = "MIT"
data = "none"

[[graph]]
name = "segmenter"
file = "segmenter.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
inputs = [{ name = "image", dtype = "f32", shape = ["batch", 1, 32, 48], range = [0, 1] }]
outputs = [{ name = "logits", dtype = "f32", shape = ["batch", 1, 32, 48] }]

[segmentation]
percentiles = [1.0, 99.8]
curve = "square-root"
threshold = 0.45
overlap = 16
smallest = 12
"#;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, Path::new("package.toml")).map_err(|e| e.to_string())
}

#[test]
fn the_table_is_read_and_written_as_it_is() {
    let manifest = parse(GOOD).unwrap();
    let table = manifest.segmentation.unwrap();
    assert_eq!(
        (table.curve, table.threshold, table.overlap, table.smallest),
        (Curve::SquareRoot, 0.45, 16, 12)
    );
    assert_eq!(parse(&manifest.to_toml().unwrap()).unwrap(), manifest);
}

#[test]
fn what_a_segmenter_cannot_do_is_said() {
    for (from, to, wrong) in [
        ("percentiles = [1.0, 99.8]", "percentiles = [99.8, 1.0]", "segmentation.percentiles: are [99.8, 1]"),
        ("[1.0, 99.8]", "[1.0, 100.5]", "segmentation.percentiles: are [1, 100.5], but two of 0 to 100"),
        ("threshold = 0.45", "threshold = 1.0", "segmentation.threshold: is 1, but a probability between"),
        ("threshold = 0.45", "threshold = nan", "segmentation.threshold: is NaN"),
        ("overlap = 16", "overlap = 17", "segmentation.overlap: is 17, but 0 to 16, half a tile"),
        ("smallest = 12", "smallest = 1025", "segmentation.smallest: is 1025, but 0 to 1024"),
        ("square-root", "cubic", "curve"),
        ("smallest = 12", "smallest = 12\nlargest = 3", "largest"),
        (
            "\"batch\", 1, 32, 48], range",
            "\"batch\", 3, 32, 48], range",
            "graph.segmenter.inputs.image: must be",
        ),
        (
            "\"batch\", 1, 32, 48] }]\n\n",
            "\"batch\", 2, 32, 48] }]\n\n",
            "graph.segmenter.outputs.logits: must be f32 [batch, 1, 32, 48], as `image` is",
        ),
        (
            "[{ name = \"image\"",
            "[{ name = \"z\", dtype = \"f32\", shape = [\"batch\"] }, { name = \"image\"",
            "inputs.z: is not `image`",
        ),
        (
            &GOOD[GOOD.find("[segmentation]").unwrap()..],
            "",
            "segmentation: must say how pictures become tiles",
        ),
        ("kind = \"segmentation\"", "kind = \"onnx\"", "segmentation: a package of kind onnx has none"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let said = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(wrong), "{said}, not {wrong}");
    }
}
