//! What a package that finds anomalies in telemetry must say: its channels and what is normal for them.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::path::Path;

use atelier_package::{Manifest, TelemetryChannel};

const GOOD: &str = r#"
name = "probe"
version = 1
kind = "anomaly"
summary = "Finds anomalies"
licence = "MIT"
data = "none"

[[graph]]
name = "detector"
file = "detector.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
inputs = [
    { name = "window", dtype = "f32", shape = ["batch", 8, 3], range = [-4, 4] },
    { name = "channel", dtype = "i64", shape = ["batch"], range = [0, 1] },
]
outputs = [
    { name = "reconstruction", dtype = "f32", shape = ["batch", 8] },
    { name = "reconstruction_scale", dtype = "f32", shape = ["batch", 8] },
    { name = "prediction", dtype = "f32", shape = ["batch"] },
    { name = "prediction_scale", dtype = "f32", shape = ["batch"] },
]

[telemetry]
columns = 3
clip = 4.0
recent = 8
prediction_span = 60
reconstruction_span = 10
margin = 0.1
merge = 100

[[telemetry.channel]]
name = "A-1"
range = [0.0, 0.0]

[[telemetry.channel]]
name = "P-1"
range = [0.0, 1.0]
limits = { prediction = 2.5, reconstruction = 1.5 }
"#;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, Path::new("package.toml")).map_err(|e| e.to_string())
}

#[test]
fn a_package_of_telemetry_is_written_and_read_back() {
    let good = parse(GOOD).unwrap();
    assert_eq!(parse(&good.to_toml().unwrap()).unwrap(), good);
    let table = good.telemetry.unwrap();
    let (id, channel) = table.channel("P-1").unwrap();
    assert_eq!((id, channel.limits.unwrap().prediction), (1, 2.5));
    assert!(matches!(table.channel("A-1"), Some((0, TelemetryChannel { limits: None, .. }))));
    assert_eq!(table.channel("a-1"), None, "names are taken as they are");
}

#[test]
fn what_does_not_fit_is_named_with_what_would() {
    let table = GOOD.split_once("[telemetry]").unwrap().1;
    for (from, to, expected) in [
        (table, "", "telemetry"),
        ("\n[telemetry]", "\n[telemetri]", "telemetri"),
        (
            "\"batch\", 8, 3]",
            "\"batch\", \"time\", 3]",
            "detector.inputs.window: must be f32 [batch, time, columns]",
        ),
        ("columns = 3", "columns = 4", "telemetry.columns: is 4, but the detector's windows have 3"),
        ("columns = 3", "columns = 3\nrows = 4", "unknown field"),
        ("recent = 8", "recent = 9", "telemetry.recent: is 9, but 1 to 8 is right"),
        ("_span = 60", "_span = 0", "telemetry.prediction_span: is 0, but 1 to 65536 is right"),
        ("margin = 0.1", "margin = 0.0", "telemetry.margin: is 0, but a finite number over 0 is right"),
        ("clip = 4.0", "clip = nan", "telemetry.clip: is NaN"),
        ("\"P-1\"", "\"A-1\"", "telemetry.channel.A-1: is there twice"),
        ("\"P-1\"", "\" P\"", "must be named by 1 to 64 printable characters"),
        ("range = [0.0, 1.0]", "range = [1.0, 0.0]", "telemetry.channel.P-1.range: is [1, 0]"),
        (
            "prediction = 2.5",
            "prediction = -2.5",
            "telemetry.channel.P-1.limits: must be finite numbers over 0",
        ),
        (
            "range = [0, 1]",
            "range = [0, 2]",
            "must be i64 [batch] with range [0, 1], the ids of the channels",
        ),
        ("name = \"prediction_scale\"", "name = \"sigma\"", "outputs.prediction_scale: must be f32 [batch]"),
        (
            "\"reconstruction_scale\", dtype = \"f32\", shape = [\"batch\", 8]",
            "\"reconstruction_scale\", dtype = \"f32\", shape = [\"batch\", 7]",
            "outputs.reconstruction_scale: must be f32 [batch, 8]",
        ),
        ("kind = \"anomaly\"", "kind = \"onnx\"", "telemetry: a package of kind onnx has none"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let message = parse(&GOOD.replace(from, to)).unwrap_err();
        assert!(message.contains(expected), "{to}: {message}");
    }
}
