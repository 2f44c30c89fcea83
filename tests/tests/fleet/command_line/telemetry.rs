//! `atelier codec detect`: recordings of every form, at once and as they come.

use std::fmt::Write as _;
use std::io::Write;
use std::process::Stdio;

use atelier_tests::Fleet;
use serde_json::Value;

use super::{Files, objects};
use crate::telemetry::{CHANNELS, Channel, is_the_jump, jumping, rows, steady};

/// A recording as CSV, a line for each row.
fn csv(channel: Channel, values: Vec<f32>) -> String {
    let mut text = String::new();
    for row in rows(channel, values) {
        let numbers: Vec<String> = row.values.iter().map(f32::to_string).collect();
        writeln!(text, "{}", numbers.join(",")).unwrap();
    }
    text
}

/// Whether just the jump is told.
fn tells_the_jump(alarms: &Value) -> bool {
    let alarms = alarms.as_array().unwrap();
    let row = |name: &str| alarms[0][name].as_u64().unwrap();
    alarms.len() == 1 && is_the_jump(row("first_row"), row("last_row"))
}

#[test]
fn detect_finds_the_jump_at_once_and_in_a_stream_and_writes_the_same_scores() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    for channel in CHANNELS {
        let recording = files.name("recording.csv");
        std::fs::write(&recording, csv(channel, jumping())).unwrap();
        let line = ["codec", "detect", &recording, "-m", channel.model, "--channel", channel.name];
        let [whole, streamed] = ["whole.csv", "streamed.csv"].map(|name| files.name(name));

        let told = objects(&fleet.ok(&[&line[..], &["--json", "-o", &whole]].concat()));
        assert!(tells_the_jump(&told[0]["alarms"]), "{}", told[0]["alarms"]);
        assert_eq!(
            (&told[0]["channel"], &told[0]["model"]["name"]),
            (&channel.name.into(), &channel.model.into())
        );
        let said = fleet.ok(&[&line[..], &["--stream", "--chunk", "50", "-o", &streamed]].concat());
        assert!(said.contains("alarm in rows 20") && said.contains(" is over"), "{said}");
        assert!(said.contains(&format!("{}: 400 rows, 1 alarm ({}@", channel.name, channel.model)), "{said}");
        let scores = std::fs::read_to_string(whole).unwrap();
        assert_eq!(scores.lines().count(), 1 + 400, "names of columns, and a line for each row");
        assert!(scores == std::fs::read_to_string(streamed).unwrap(), "the stream has other scores");

        std::fs::write(&recording, csv(channel, steady())).unwrap();
        assert!(fleet.ok(&line).contains(&format!("{}: 400 rows, 0 alarms (", channel.name)));
    }
}

#[test]
fn detect_takes_rows_from_stdin_and_writes_scores_as_npy() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let (channel, scores) = (CHANNELS[1], files.name("scores.npy"));
    let line =
        ["codec", "detect", "-", "--stream", "-m", channel.model, "--channel", channel.name, "-o", &scores];
    let mut child = fleet.command(&line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(csv(channel, jumping()).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("400 rows, 1 alarm ("), "{said}");
    let npy = std::fs::read(&scores).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY") && npy.len() > 400 * 4 * 4, "{} bytes", npy.len());

    // What was written is a recording too, if none of this channel: four columns.
    let output = fleet.output(&["codec", "detect", &scores, "-m", channel.model, "-c", channel.name]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("rows[0].values: has 4 numbers, but the model's rows have 25"), "{said}");
}

#[test]
fn what_is_no_recording_of_a_channel_has_its_exit_code_and_names_the_field() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let channel = CHANNELS[1];
    let mut nan = steady();
    nan[7] = f32::NAN;
    let write = |name: &str, text: &str| {
        std::fs::write(files.path(name), text).unwrap();
        files.name(name)
    };
    let good = write("good.csv", &csv(channel, steady()));
    let constant = write("constant.csv", &csv(channel, vec![0.5; 400]));
    let nan = write("nan.csv", &csv(channel, nan));
    let (empty, text) = (write("empty.csv", ""), write("text.csv", "value\none\n"));
    let scores = files.name("scores.csv");
    for (recording, name, code, says) in [
        (&constant, channel.name, 3, "rows: is constant"),
        (&nan, channel.name, 3, "rows[7].values: "),
        (&empty, channel.name, 3, "there are no numbers in it"),
        (&text, channel.name, 3, "\"one\" is no number"),
        (&good, "Q-9", 4, "no channel \"Q-9\"; there is: A-1"),
        (&good, "", 3, "channel: is empty"),
    ] {
        let line = ["codec", "detect", recording, "-m", channel.model, "--channel", name, "-o", &scores];
        let output = fleet.output(&line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{said}");
    }
    assert!(!files.path("scores.csv").exists(), "nothing is written where nothing was answered");
}
