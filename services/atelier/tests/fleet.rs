//! The fleet in one process, and the client against it: real sockets, real runtime, tiny networks.

// Helpers stand outside of test functions, where clippy does not know them for tests.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

#[path = "fleet/generated.rs"]
mod generated;
#[path = "fleet/spoken.rs"]
mod spoken;
#[path = "fleet/written.rs"]
mod written;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::{GenericImageView, GrayImage};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../codec/tests/models");
/// With a `char-rnn` among them.
const STREAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/models");

fn atelier() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

struct Fleet {
    child: Child,
    server: String,
}

impl Fleet {
    /// Waits for READY. What is logged goes to a file, so that a full pipe never blocks the fleet.
    fn up(models: &Path, log: &Path) -> Self {
        let mut child = atelier()
            .args(["up", "--listen", "127.0.0.1:0", "--models"])
            .arg(models)
            // Where other work has the cores, a long stream takes longer than the 30 s of a drain.
            .env("ATELIER_SERVER__SHUTDOWN__DRAIN", "5m")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let server = first.trim_end().strip_prefix("READY ").map(str::to_owned);
        let server = server.unwrap_or_else(|| panic!("{first:?}: {}", std::fs::read_to_string(log).unwrap()));
        for _ in 0..3 {
            let mut command = String::new();
            lines.read_line(&mut command).unwrap();
            assert!(command.contains(&server) || command.contains("--help"), "{command}");
        }
        Self { child, server }
    }

    fn call(&self, args: &[&str]) -> Output {
        atelier().args(args).args(["--server", &self.server]).output().unwrap()
    }

    /// Begins a text of this many characters, and waits for its first.
    fn stream(&self, chars: &str) -> (Child, ChildStdout) {
        let mut client = atelier();
        client.args(["text", "generate", "--seed", "1", "--max-chars", chars, "--server", &self.server]);
        let mut client = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut text = client.stdout.take().unwrap();
        text.read_exact(&mut [0]).unwrap();
        (client, text)
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    fn wait(mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the fleet did not stop");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A failed test must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_role_answers_while_it_loads_and_a_process_that_is_told_to_stop_then_does_not_go_on() {
    // Large enough to be seen while they are loaded.
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    for (command, role) in [(&["up"][..], "gateway"), (&["serve", "codec"], "codec")] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = atelier()
            .args(command)
            .args(["--listen", "127.0.0.1:0", "--models", models])
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut fleet = Fleet { child, server: String::new() };
        let said = || std::fs::read_to_string(log.path()).unwrap();
        let start = Instant::now();
        while fleet.server.is_empty() {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", said());
            std::thread::sleep(Duration::from_millis(5));
            let said = said();
            let address = said.split_once(&format!("listening role=\"{role}\" address=\""));
            if let Some((address, _)) = address.and_then(|(_, rest)| rest.split_once('"')) {
                fleet.server = format!("http://{address}");
            }
        }
        if command == ["serve", "codec"] {
            let told = fleet.call(&["models"]);
            let line = String::from_utf8_lossy(&told.stderr);
            assert!(told.status.code() == Some(5) && line.contains("being loaded"), "{told:?}");
        }
        fleet.signal();
        assert_eq!(fleet.wait(), Some(0), "{command:?}: {}", said());
        // The last one that either has.
        assert!(!said().contains("telemetry-smap"), "{command:?}: {}", said());
    }
}

#[test]
fn what_the_fleet_serves_can_be_called_and_it_stops_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let fleet = Fleet::up(Path::new(MODELS), &directory.path().join("log"));

    let models: serde_json::Value = serde_json::from_str(&fleet.ok(&["models", "--json"])).unwrap();
    let names: Vec<&str> = models.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    let mut packages: Vec<String> = std::fs::read_dir(MODELS)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    packages.sort();
    assert!(packages.len() >= 5, "{packages:?}");
    assert_eq!(names, packages);
    assert!(models.as_array().unwrap().iter().all(|m| m["role"] == "codec" && m["device"] == "cpu"));

    let clean = [path("a.png"), path("b.png")];
    for clean in &clean {
        GrayImage::from_fn(5, 6, |x, y| [(x * 40 + y * 9) as u8].into()).save(clean).unwrap();
    }
    let grid = path("grid.png");
    let line = ["codec", "denoise", &clean[0], &clean[1], "--add-noise", "0.1", "--grid", "--scale", "1"];
    fleet.ok(&[&line[..], &["--output", &grid]].concat());
    // Two columns of three stages: clean, noisy, denoised.
    assert_eq!(image::open(&grid).unwrap().dimensions(), (1 + 2 * 6, 1 + 3 * 7));

    let codes = fleet.ok(&["codec", "encode", &clean[0], &clean[1], "--model", "tiny-vae"]);
    let file = path("codes.json");
    std::fs::write(&file, &codes).unwrap();
    let decoded = path("decoded/");
    fleet.ok(&["codec", "decode", &file, "--model", "tiny-vae", "--output", &decoded]);
    assert_eq!(image::open(format!("{decoded}b.png")).unwrap().dimensions(), (5, 6));

    let sample = ["codec", "sample", "--seed", "7"];
    let once = fleet.call(&sample).stdout;
    assert!(once.starts_with(b"\x89PNG"));
    assert_eq!(fleet.call(&sample).stdout, once, "the same seed gives the same bytes");

    let frames =
        fleet.ok(&["codec", "interpolate", &clean[0], &file, "--steps", "4", "--json", "-o", &path("walk")]);
    assert_eq!(frames.lines().count(), 4);

    let line = fleet.ok(&["codec", "classify", &clean[0], "--top", "1"]);
    assert_eq!(line, format!("{}: middling 99.8 %\n", clean[0]));

    let dark = path("dark.png");
    GrayImage::new(5, 6).save(&dark).unwrap();
    let (rows, clusters) = (path("rows.png"), [&clean[0], &dark, &clean[1]]);
    let line = ["codec", "cluster", clusters[0], clusters[1], clusters[2], "--scale", "1", "--json"];
    let lines = fleet.ok(&[&line[..], &["--output", &rows]].concat());
    let cluster = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["cluster"].as_u64();
    // Two pictures that are alike, and one that is not.
    assert_eq!(lines.lines().map(cluster).collect::<Vec<_>>(), [Some(0), Some(1), Some(0)]);
    assert_eq!(image::open(&rows).unwrap().dimensions(), (1 + 2 * 6, 1 + 2 * 7));
    let unreadable = path("unreadable.png");
    std::fs::write(&unreadable, "no picture").unwrap();
    let few = fleet.call(&["codec", "cluster", &clean[0], &unreadable, "--output", &path("few.png")]);
    let said = String::from_utf8(few.stderr).unwrap();
    assert_eq!(few.status.code(), Some(3), "what was refused left too few: {said}");
    assert!(said.contains("unreadable.png") && said.contains("there are 1"), "{said}");

    let filled = path("filled.png");
    fleet.ok(&["codec", "inpaint", &clean[0], "--box", "1,2,3,1", "--output", &filled]);
    let (before, after) =
        (image::open(&clean[0]).unwrap().into_luma8(), image::open(&filled).unwrap().into_luma8());
    for (x, y, pixel) in after.enumerate_pixels() {
        let hole = (1..4).contains(&x) && y == 2;
        assert_eq!(pixel.0[0], if hole { 64 } else { before.get_pixel(x, y).0[0] }, "at {x}, {y}");
    }

    // Names of columns, an empty line, and a row that is too short.
    for (recording, words) in [
        ("v,a,b\n0.5,0,0\n\n0.5,0\n", "-: line 4: rows.rows[0].values: has 2 numbers"),
        ("v,a,b\n", "rows: is missing: the stream ended without a row"),
    ] {
        let input = path("rows.csv");
        std::fs::write(&input, recording).unwrap();
        let detect = atelier()
            .args(["codec", "detect", "--channel", "wave", "--stream", "-", "--server", &fleet.server])
            .stdin(std::fs::File::open(&input).unwrap())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&detect.stderr);
        assert!(detect.status.code() == Some(3) && error.contains(words), "{error}");
    }

    fleet.signal();
    assert_eq!(fleet.wait(), Some(0));
}

#[test]
fn what_the_server_refuses_has_its_exit_code_and_names_field_and_request() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("a.png");
    GrayImage::new(5, 6).save(&image).unwrap();
    let image = image.to_str().unwrap();
    let mask = directory.path().join("mask.png");
    GrayImage::new(6, 6).save(&mask).unwrap();
    let mask = mask.to_str().unwrap();
    let fleet = Fleet::up(Path::new(MODELS), &directory.path().join("log"));
    let out = directory.path().join("o.png");
    let out = out.to_str().unwrap();
    for (line, code, words) in [
        (&["codec", "denoise", image, "-o", out, "--sigma", "0.9"][..], 3, ["sigma: ", "INVALID_ARGUMENT"]),
        (&["codec", "classify", image, "--top", "4"], 3, ["top: ", "INVALID_ARGUMENT"]),
        (&["codec", "inpaint", image, "-o", out, "--mask", mask], 3, ["mask.data: ", "INVALID_ARGUMENT"]),
        (&["codec", "sample", "-o", out, "--model", "nobody"], 4, ["nobody", "NOT_FOUND"]),
        (&["codec", "sample", "-o", out, "--model", "tiny-vae@9"], 4, ["tiny-vae", "NOT_FOUND"]),
        (&["text", "generate", "x"], 4, ["char-rnn", "NOT_FOUND"]),
    ] {
        let output = fleet.call(line);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(words.iter().all(|word| error.contains(word)) && error.contains(", request "), "{error}");
    }
    assert!(!Path::new(out).exists(), "nothing is written where nothing was answered");
}

#[test]
fn a_damaged_package_is_logged_and_the_rest_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("models");
    for package in ["tiny-dae", "tiny-vae"] {
        let (from, to) = (Path::new(MODELS).join(package).join("1"), models.join(package).join("1"));
        std::fs::create_dir_all(&to).unwrap();
        for file in from.read_dir().unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let graph = models.join("tiny-dae/1/blind.onnx");
    let mut bytes = std::fs::read(&graph).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&graph, bytes).unwrap();

    let log = directory.path().join("log");
    let fleet = Fleet::up(&models, &log);
    let listed = fleet.ok(&["models"]);
    assert!(listed.contains("tiny-vae") && !listed.contains("tiny-dae"), "{listed}");
    let mut logged = String::new();
    std::fs::File::open(&log).unwrap().read_to_string(&mut logged).unwrap();
    assert!(logged.contains("tiny-dae") && logged.contains("sha256"), "{logged}");
}

#[test]
fn a_stream_under_way_is_finished_before_the_fleet_stops() {
    let directory = tempfile::tempdir().unwrap();
    let fleet = Fleet::up(Path::new(STREAMS), &directory.path().join("log"));
    // More than the pipe holds, so that it cannot be over before the signal.
    let (mut client, mut text) = fleet.stream("100000");
    fleet.signal();
    let mut rest = String::new();
    text.read_to_string(&mut rest).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(0));
    assert_eq!(rest.chars().count(), 99_999);
    assert_eq!(fleet.wait(), Some(0));
}

#[test]
fn the_second_signal_ends_the_fleet_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let fleet = Fleet::up(Path::new(STREAMS), &log);
    let (mut client, text) = fleet.stream("100000");
    fleet.signal();
    while !std::fs::read_to_string(&log).unwrap().contains("asked to stop") {
        std::thread::sleep(Duration::from_millis(10));
    }
    fleet.signal();
    let start = Instant::now();
    assert_eq!(fleet.wait(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(text);
    // Its reader is gone, or its server: the client ends either way.
    client.wait().unwrap();
}
