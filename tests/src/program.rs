//! The program `atelier`, built in the profile of the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// A command of the program, which sees nothing of our environment that is meant for it and reads nothing
/// from our standard input.
pub fn atelier() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PATH.get_or_init(find));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// What a command has printed; it must have ended well.
pub fn stdout(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Cargo hands programs to the tests of their own package only. What `cargo test --workspace` has built beside
/// our test is taken where it is up to date; otherwise cargo is asked for it.
fn find() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let beside = profile.join("atelier").with_extension(std::env::consts::EXE_EXTENSION);
    if is_fresh(&beside) { beside } else { build(profile) }
}

/// Whether nothing that went into the program is newer, by the list that cargo writes beside it.
///
/// Cargo knows better, but building this one package may mean other features of what it depends on, and so
/// minutes of work for the same program.
fn is_fresh(program: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let (Some(built), Ok(list)) = (modified(program), std::fs::read_to_string(program.with_extension("d")))
    else {
        return false;
    };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    // A space within a name is escaped.
    let sources = sources.replace("\\ ", "\0");
    let newest = sources.split_whitespace().map(|source| modified(Path::new(&source.replace('\0', " "))));
    // One that is gone is a change too.
    newest.map(|time| time.unwrap_or_else(SystemTime::now)).all(|time| time <= built)
}

fn build(profile: &Path) -> PathBuf {
    let profile = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(crate::workspace());
    command.args(["build", "--package", "atelier", "--bin", "atelier", "--message-format", "json"]);
    let output = command.args(["--profile", profile]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the program cannot be built: {}", output.status);
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "atelier").then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    programs.next_back().expect("cargo names the program that it has built")
}
