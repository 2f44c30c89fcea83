//! Packages that are damaged, foreign or hostile: said with file and field, and the rest is served.

use std::path::Path;

use atelier_proto::codec::v1::DenoiseRequest;
use atelier_proto::models::v1::ListModelsRequest;
use atelier_proto::text::v1::GenerateRequest;
use atelier_tests::models::{Models, change, edit, falsify};
use atelier_tests::pictures::{clothes, message};
use atelier_tests::{Fleet, Start};
use sha2::{Digest, Sha256};
use tonic::Code;

const CODEC: &str = "atelier.codec.v1.CodecService";
const TEXT: &str = "atelier.text.v1.TextService";

/// What it is, how it is done, and words of what must be said about it.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

async fn listed(fleet: &Fleet) -> Vec<String> {
    let models = fleet.models().list_models(ListModelsRequest::default()).await.unwrap().into_inner().models;
    models.iter().map(|model| format!("{}/{}", model.name, model.version)).collect()
}

/// What the log says of the packages that are left out.
fn complaints(fleet: &Fleet) -> Vec<String> {
    let lines = fleet.log().lines();
    let warned = lines.iter().filter(|line| line["level"] == "ERROR" || line["level"] == "WARN");
    warned.map(ToString::to_string).collect()
}

/// Makes a graph another one, and the manifest agree.
fn exchange(package: &Path, graph: &str, bytes: &[u8]) {
    let old = std::fs::read(package.join(graph)).unwrap();
    std::fs::write(package.join(graph), bytes).unwrap();
    edit(package, &hex::encode(Sha256::digest(old)), &hex::encode(Sha256::digest(bytes)));
}

#[tokio::test]
async fn a_damaged_version_is_left_out_by_file_and_field_and_the_others_are_served() {
    let models = Models::new();
    models.copy("fashion-dae", 1);
    let damage: [Damage; 13] = [
        ("a flipped byte", |p| change(&p.join("blind.onnx"), |b| b[1000] ^= 1), &["blind.onnx", "sha256"]),
        (
            "a truncated graph",
            |p| change(&p.join("denoiser.onnx"), |b| b.truncate(b.len() / 2)),
            &["denoiser.onnx", "sha256"],
        ),
        ("a graph that is gone", |p| std::fs::remove_file(p.join("blind.onnx")).unwrap(), &["blind.onnx"]),
        (
            "a way out of the package",
            |p| edit(p, "\"blind.onnx\"", "\"../1/blind.onnx\""),
            &["package.toml", "graph.blind.file"],
        ),
        (
            "a way to anywhere",
            |p| edit(p, "\"blind.onnx\"", "\"/etc/passwd\""),
            &["package.toml", "graph.blind.file"],
        ),
        (
            "a link out of the package",
            |p| {
                std::fs::remove_file(p.join("blind.onnx")).unwrap();
                std::os::unix::fs::symlink("../1/blind.onnx", p.join("blind.onnx")).unwrap();
            },
            &["blind.onnx", "leads out of the package"],
        ),
        ("an unknown key", |p| edit(p, "summary = ", "colour = 1\nsummary = "), &["package.toml", "colour"]),
        (
            "an unknown kind",
            |p| edit(p, "\"denoising-", "\"painting-"),
            &["package.toml", "kind", "painting-"],
        ),
        ("another name", |p| edit(p, "\"fashion-dae\"", "\"fashion-eda\""), &["package.toml", "name"]),
        ("no TOML", |p| std::fs::write(p.join("package.toml"), b"\xff\0").unwrap(), &["package.toml"]),
        (
            "golden outputs of another model",
            |p| falsify(p, "blind/out/denoised", 0.5),
            &["golden", "blind", "denoised"],
        ),
        (
            "a graph that is none, though its hash is right",
            |p| exchange(p, "blind.onnx", b"\x08\x0a\xff\xff no graph"),
            &["blind"],
        ),
        (
            "a graph of another shape than said",
            |p| {
                let graph = std::fs::read(p.join("blind.onnx")).unwrap();
                exchange(p, "denoiser.onnx", &graph);
            },
            &["denoiser", "sigma"],
        ),
    ];
    for (version, (_, damage, _)) in (2..).zip(&damage) {
        damage(&models.copy("fashion-dae", version));
    }
    let fleet = Start::up(models.path()).start();
    assert_eq!(listed(&fleet).await, ["fashion-dae/1"]);
    let complaints = complaints(&fleet);
    for (version, (what, _, says)) in (2..).zip(&damage) {
        let of_it = |line: &&String| {
            line.contains(&format!("fashion-dae/{version}/"))
                || line.contains(&format!("fashion-dae/{version}\""))
                || line.contains(&format!("fashion-dae/{version}:"))
                || (line.contains("fashion-dae") && line.contains(&format!("\"version\":\"{version}\"")))
        };
        let line = complaints.iter().find(of_it);
        let line =
            line.unwrap_or_else(|| panic!("nothing on {what} ({version}):\n{}", complaints.join("\n")));
        for word in *says {
            assert!(line.contains(word), "{what}: {word:?} is not in {line}");
        }
    }
    let request = DenoiseRequest { image: message(&clothes()[0]), ..Default::default() };
    let answer = fleet.codec().denoise(request).await.unwrap().into_inner();
    assert_eq!(answer.model.unwrap().version, 1, "the newest that is whole");
}

#[tokio::test]
async fn a_role_whose_packages_are_all_bad_is_not_serving_and_the_others_are() {
    let models = Models::new();
    models.copy("fashion-dae", 1);
    falsify(&models.copy("shakespeare-rnn", 1), "step/out/logits", 1.0);
    change(&models.copy("shakespeare-rnn", 2).join("step.onnx"), |bytes| bytes[0] ^= 1);
    let fleet = Start::up(models.path()).start();
    assert_eq!(fleet.is_serving(CODEC).await, Some(true));
    assert_eq!(fleet.is_serving(TEXT).await, Some(false));
    assert_eq!(fleet.is_serving("").await, Some(true), "one role that is down does not close the door");
    assert_eq!(listed(&fleet).await, ["fashion-dae/1"]);
    let status = fleet.write(GenerateRequest::default()).await.unwrap_err();
    assert!(matches!(status.code(), Code::NotFound | Code::Unavailable), "{status:?}");
    let said = complaints(&fleet).join("\n");
    assert!(said.contains("logits") && said.contains("sha256"), "{said}");
}

#[test]
fn a_fleet_without_a_package_that_is_whole_does_not_start() {
    let models = Models::new();
    falsify(&models.copy("fashion-vae", 1), "decoder/out/image", 1.0);
    for (start, says) in [
        (Start::up(models.path()), "golden check of graph `decoder`"),
        (Start::role("codec", models.path(), "127.0.0.1:0"), "golden check of graph `decoder`"),
        (Start::role("text", models.path(), "127.0.0.1:0"), "char-rnn"),
    ] {
        let output = start.fails();
        let said = String::from_utf8(output.stderr).unwrap();
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{said}"));
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(error.contains(says), "{error}");
        assert_eq!(output.stdout, b"", "and does not say READY");
    }
}
