//! Outside judges: Google's gRPC for Python, and Pillow.

use std::process::Command;

use atelier_tests::pictures::{SIDE, clothes, noisy, psnr};
use atelier_tests::program::stdout;
use atelier_tests::{Fleet, python, workspace};

#[test]
fn a_client_in_python_denoises_a_picture_and_continues_a_text() {
    let Some(python) = python::judges() else { return };
    let (fleet, directory) = (Fleet::shared(), tempfile::tempdir().unwrap());
    let path = |name: &str| directory.path().join(name);

    let sources = ["codec/v1/codec", "codec/v1/telemetry", "models/v1/models", "text/v1/text"];
    let sources = sources.map(|name| format!("atelier/{name}.proto"));
    let mut compile = Command::new(&python);
    compile.current_dir(workspace().join("proto")).args(["-m", "grpc_tools.protoc", "-I", "."]);
    for option in ["--python_out", "--grpc_python_out"] {
        compile.arg(option).arg(directory.path());
    }
    stdout(&compile.args(sources).output().unwrap());

    let clean = &clothes()[0];
    let before = noisy(clean, 0.3, 1);
    before.save(path("noisy.png")).unwrap();
    let mut client = Command::new(&python);
    client.arg(workspace().join("tests/python/client.py")).arg(fleet.address().to_string());
    client.args([path("noisy.png"), path("denoised.png")]).env("PYTHONPATH", directory.path());
    let text = stdout(&client.output().unwrap());

    let denoised = image::open(path("denoised.png")).unwrap().to_luma8();
    assert_eq!(denoised.dimensions(), (SIDE, SIDE));
    assert!(psnr(clean, &denoised) > psnr(clean, &before) + 2.0);
    let same = fleet.ok(&["text", "generate", "ROMEO:\n", "--seed", "7", "--max-chars", "200"]);
    assert_eq!(text, same, "the same seed gives the same text in every language");
}

#[test]
fn others_grpc_and_pictures_agree_with_ours() {
    let Some(python) = python::judges() else { return };
    let fleet = Fleet::shared();
    let mut judge = Command::new(python);
    judge.arg(workspace().join("tests/python/judge.py")).arg(fleet.address().to_string());
    stdout(&judge.output().unwrap());
}
