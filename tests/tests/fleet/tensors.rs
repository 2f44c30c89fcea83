//! Raw tensors, judged by NVIDIA's client for Triton.

use std::path::{Path, PathBuf};
use std::process::Command;

use atelier_tests::models::Models;
use atelier_tests::program::{atelier, stdout};
use atelier_tests::{Fleet, Start, python, workspace};

const SERVICE: &str = "inference.GRPCInferenceService";

/// Runs a script of `tests/python`; it must end well.
fn script(python: &Path, name: &str, argument: &str) -> String {
    let mut command = Command::new(python);
    stdout(&command.arg(workspace().join("tests/python").join(name)).arg(argument).output().unwrap())
}

/// Imports a file as a package; what was said, and the exit code.
fn import(models: &Models, file: &Path, options: &[&str]) -> (String, Option<i32>) {
    let mut command = atelier();
    command.arg("import").arg(file).arg("--models").arg(models.path()).args(options);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

/// The packages that `tests/python/tensors.py` knows.
fn packages(python: &Path) -> (Models, PathBuf) {
    let models = Models::new();
    models.copy("fashion-vae", 1);
    models.copy("shakespeare-rnn", 1);
    script(python, "graphs.py", models.path().to_str().unwrap());
    let file = models.path().join("sums.onnx");
    let (said, exit) = import(&models, &file, &["--name", "sums"]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains("input   x f32 [batch, 3]") && said.contains("output  next i64 [batch]"), "{said}");
    assert!(said.contains("requests are joined"), "{said}");
    (models, file)
}

#[test]
fn tritons_client_is_served_by_one_process() {
    let Some(python) = python::judges() else { return };
    let (models, _) = packages(&python);
    let fleet = Start::up(models.path()).start();
    script(&python, "tensors.py", &fleet.address().to_string());
    fleet.signal("TERM");
    assert_eq!(fleet.wait(), Some(0));
}

#[tokio::test]
async fn tritons_client_is_served_by_roles_in_processes_of_their_own() {
    let Some(python) = python::judges() else { return };
    let (models, _) = packages(&python);
    let roles = ["codec", "text", "tensor"]
        .map(|role| (role, Start::role(role, models.path(), "127.0.0.1:0").start()));
    let gateway = Start::gateway(roles.iter().map(|(role, fleet)| (*role, fleet.address()))).start();
    while gateway.is_serving(SERVICE).await != Some(true) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    script(&python, "tensors.py", &gateway.address().to_string());
}

#[test]
fn a_version_that_is_imported_is_the_one_after_the_newest_and_none_is_overwritten() {
    let Some(python) = python::judges() else { return };
    let (models, file) = packages(&python);
    let (said, exit) = import(&models, &file, &["--name", "sums"]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.lines().next().unwrap().ends_with("sums/2"), "{said}");
    let (said, exit) = import(&models, &file, &["--name", "sums", "--version", "1"]);
    assert!(exit == Some(1) && said.contains("sums/1"), "{said}");
    let (said, exit) = import(&models, &file, &["--name", "sums", "--fix", "M=3"]);
    assert!(exit == Some(2) && said.contains("--fix M: ") && said.contains("there is: N"), "{said}");
    let (said, exit) = import(&models, &file, &["--name", "five", "--fix", "N=5"]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains("x f32 [5, 3]") && said.contains("one at a time"), "{said}");
    std::fs::write(&file, b"no graph").unwrap();
    let (said, exit) = import(&models, &file, &["--name", "none"]);
    assert!(exit == Some(3) && said.contains("sums.onnx"), "{said}");
    assert!(!models.path().join("none").exists(), "nothing is left of what cannot be served");
}

/// Joined, its rows would come out as others than alone.
#[test]
fn a_graph_whose_rows_depend_on_each_other_is_not_joined() {
    let Some(python) = python::judges() else { return };
    let (models, file) = packages(&python);
    let (said, exit) = import(&models, &file.with_file_name("mixed.onnx"), &["--name", "mixed"]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains("x f32 [dim__4e_, 3]") && said.contains("one at a time"), "{said}");
    let fleet = Start::role("tensor", models.path(), "127.0.0.1:0").start();
    let program = "import sys, numpy as np, tritonclient.grpc as t\n\
                   c = t.InferenceServerClient(sys.argv[1])\n\
                   x = np.arange(12, dtype=np.float32).reshape(4, 3)\n\
                   i = t.InferInput('x', x.shape, 'FP32'); i.set_data_from_numpy(x)\n\
                   assert (c.infer('mixed', [i]).as_numpy('y') == x - x.mean(axis=0)).all()";
    let mut command = Command::new(python);
    stdout(&command.args(["-c", program]).arg(fleet.address().to_string()).output().unwrap());
}

/// The shipped models, as every caller finds them.
#[test]
fn the_shipped_fleet_lists_its_graphs_as_models() {
    let Some(python) = python::judges() else { return };
    let program = "import sys, tritonclient.grpc as t\n\
                   c = t.InferenceServerClient(sys.argv[1])\n\
                   print(*(m.name for m in c.get_model_repository_index(headers={'x-request-id': 'a'}).models))";
    let fleet = Fleet::shared();
    let mut command = Command::new(python);
    command.args(["-c", program]).arg(fleet.address().to_string());
    let listed = stdout(&command.output().unwrap());
    for name in ["fashion-dae.blind", "fashion-dae.denoiser", "fashion-vae.decoder", "shakespeare-rnn"] {
        assert!(listed.split_whitespace().any(|listed| listed == name), "{name}: {listed}");
    }
}
