//! The program as a shell sees it: output, error lines and exit codes, without a fleet.

// Helpers stand outside of test functions, where clippy does not know them for tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

fn atelier() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    atelier().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one line that an error is, and the exit code.
fn failure(output: &Output) -> (i32, String) {
    let text = text(&output.stderr);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    (output.status.code().unwrap(), errors[0].to_owned())
}

#[test]
fn help_documents_the_exit_codes_and_every_command_has_help() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("  5  the server cannot be reached"), "{}", text(&help.stdout));
    for command in [
        &["up"][..],
        &["serve", "gateway"],
        &["serve", "codec"],
        &["serve", "image"],
        &["serve", "text"],
        &["serve", "audio"],
        &["serve", "tensor"],
        &["models"],
        &["import"],
        &["codec", "denoise"],
        &["codec", "encode"],
        &["codec", "decode"],
        &["codec", "reconstruct"],
        &["codec", "sample"],
        &["codec", "segment"],
        &["codec", "interpolate"],
        &["codec", "classify"],
        &["codec", "cluster"],
        &["codec", "inpaint"],
        &["image", "generate"],
        &["image", "interpolate"],
        &["image", "age"],
        &["codec", "detect"],
        &["text", "generate"],
        &["text", "score"],
        &["audio", "synthesize"],
        &["audio", "speakers"],
        &["completions"],
    ] {
        let help = run(&[command, &["--help"]].concat());
        assert!(help.status.success() && text(&help.stdout).contains("Usage: atelier"), "{command:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(run(&["codec", "paint"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let (code, line) = failure(&run(&["codec", "sample", "--count", "3"]));
    assert_eq!(code, 2);
    assert!(line.contains("--output") && line.contains("--grid"), "{line}");
}

#[test]
fn a_server_that_is_not_there_is_exit_code_5() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, line) = failure(&run(&["models", "--server", &format!("http://{free}")]));
    assert_eq!(code, 5);
    assert!(line.contains(&free.to_string()) && line.contains("atelier up"), "{line}");
}

#[test]
fn a_server_that_says_nothing_is_exit_code_6() {
    // Accepts, by its backlog, and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = mute.local_addr().unwrap().to_string();
    let (code, line) = failure(&run(&["models", "--server", &server, "--timeout", "100ms"]));
    assert_eq!(code, 6);
    assert!(line.contains("no answer within 100ms"), "{line}");
}

#[test]
fn an_output_that_cannot_be_is_refused_before_a_server_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.png", "");
    write("r.csv", "1,0\n");
    write("c.json", r#"{"mean": [1], "model": {"name": "a", "version": 1}}"#);
    let noisy = |more: &[&'static str]| {
        [&["codec", "denoise", "a.png", "--add-noise", "0.1", "--noisy-output"][..], more].concat()
    };
    for (line, code, words) in [
        (vec!["codec", "encode", "a.png", "-o", "./a.png"], 2, "would overwrite the input"),
        (vec!["codec", "encode", "a.png", "-o", "no/c.json"], 1, "no: is no directory"),
        (vec!["codec", "denoise", "a.png", "-o", "no/b.png"], 1, "no: is no directory"),
        (vec!["codec", "detect", "r.csv", "-c", "P-1", "-o", "no/s.csv"], 1, "no: is no directory"),
        (vec!["audio", "synthesize", "1", "-o", "no/a.wav"], 1, "no: is no directory"),
        (noisy(&["n.jpg", "-o", "b.png"]), 2, "--noisy-output: pictures are written as PNG"),
        (noisy(&["a.png", "-o", "b.png"]), 2, "--noisy-output: would overwrite the input"),
        (noisy(&["./o/", "-o", "o/"]), 2, "--output and --noisy-output name one place"),
        (noisy(&["-"]), 2, "can have stdout"),
        (noisy(&["-", "--json", "-o", "b.png"]), 2, "can have stdout"),
        (
            vec!["codec", "decode", "c.json", "-m", "a@2", "-o", "b.png"],
            3,
            "code 1 is of a@1, but --model says a@2",
        ),
    ] {
        let output = atelier().args(&line).current_dir(&directory).output().unwrap();
        let (ended, said) = failure(&output);
        assert_eq!(ended, code, "{line:?}: {said}");
        assert!(said.contains(words), "{line:?}: {said}");
    }
}

#[test]
fn a_new_key_is_shown_apart_from_its_entry_which_does_not_have_it() {
    let made = run(&["keys", "new", "--name", "web", "--rate", "5"]);
    assert!(made.status.success());
    let (entry, said) = (text(&made.stdout), text(&made.stderr));
    let key = said.lines().find(|line| line.starts_with("atelier_")).unwrap();
    assert!(!entry.contains("atelier_"), "{entry}");
    // What is appended to a file is a file of keys.
    let file: toml::Table = [entry.as_str(), &entry].concat().parse().unwrap();
    assert_eq!(file["key"].as_array().unwrap().len(), 2);
    assert_eq!(file["key"][0]["sha256"].as_str(), Some(hex::encode(Sha256::digest(key)).as_str()));
}

#[test]
fn completions_are_printed_for_each_shell() {
    for (shell, sign) in
        [("bash", "complete -F _atelier"), ("zsh", "#compdef atelier"), ("fish", "complete -c atelier")]
    {
        let script = run(&["completions", shell]);
        assert!(script.status.success());
        assert!(text(&script.stdout).contains(sign), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = atelier()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn the_printed_configuration_is_a_file_that_is_read_back_the_same() {
    let directory = tempfile::tempdir().unwrap();
    for command in [&["up"][..], &["serve", "codec"], &["serve", "gateway"]] {
        let flags: &[&str] =
            if command == ["serve", "gateway"] { &["--route", "text=http://t:1"] } else { &[] };
        let print = [command, flags, &["--log", "warn", "--print-config"]].concat();
        let printed = run(&print);
        assert!(printed.status.success(), "{}", text(&printed.stderr));
        assert!(text(&printed.stdout).contains("filter = \"warn\""), "{}", text(&printed.stdout));
        let file = directory.path().join("printed.toml");
        std::fs::write(&file, &printed.stdout).unwrap();
        let again = run(&[command, &["--config", file.to_str().unwrap(), "--print-config"]].concat());
        assert_eq!(text(&again.stdout), text(&printed.stdout), "{command:?}");
    }
}

#[test]
fn an_unknown_field_of_the_configuration_is_exit_code_2() {
    let output = atelier().args(["up", "--print-config"]).env("ATELIER_ENGINE__SLOT", "3").output().unwrap();
    let (code, line) = failure(&output);
    assert_eq!(code, 2);
    assert!(line.contains("ATELIER_ENGINE__SLOT") && line.contains("`slots`"), "{line}");
}

#[test]
fn a_port_in_use_is_exit_code_8_and_nothing_is_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codec/tests/models");
    let output = run(&["up", "--listen", &address, "--models", models.to_str().unwrap()]);
    let (code, line) = failure(&output);
    assert_eq!(code, 8);
    assert!(line.contains(&address) && line.contains("the port is in use"), "{line}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn models_that_are_not_there_are_exit_code_8() {
    let (code, line) = failure(&run(&["up", "--listen", "127.0.0.1:0", "--models", "/nowhere/models"]));
    assert_eq!(code, 8);
    assert!(line.contains("/nowhere/models"), "{line}");
}

#[test]
fn a_runtime_that_is_not_there_is_exit_code_8() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codec/tests/models");
    let models = models.to_str().unwrap();
    let line = ["serve", "codec", "--listen", "127.0.0.1:0", "--models", models, "--onnxruntime", "/no.so"];
    let (code, line) = failure(&run(&line));
    assert_eq!(code, 8);
    assert!(line.contains("/no.so"), "{line}");
}
