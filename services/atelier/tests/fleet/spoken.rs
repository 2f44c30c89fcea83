//! `atelier audio` against a fleet that serves nothing else.

use std::path::Path;

use crate::Fleet;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../audio/tests/models");

fn up(directory: &Path) -> Fleet {
    Fleet::up(Path::new(MODELS), &directory.join("log"))
}

#[test]
fn digits_become_a_wav_file_raw_samples_or_a_stream_on_stdout() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let bytes = |name: &str| std::fs::read(path(name)).unwrap();
    let fleet = up(directory.path());
    let models: serde_json::Value = serde_json::from_str(&fleet.ok(&["models", "--json"])).unwrap();
    assert!(models.as_array().unwrap().iter().all(|m| m["role"] == "audio"), "{models}");
    assert_eq!(
        fleet.ok(&["audio", "speakers"]),
        "ann    0.20 s a digit\nbob    0.25 s a digit\nnoisy  0.20 s a digit\n"
    );

    let line = ["audio", "synthesize", "0 70", "--speaker", "bob", "--seed", "7"];
    let told = fleet.ok(&[&line[..], &["--json", "--output", &path("a.wav")]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["seed"], &told["speaker"], &told["sample_rate"]),
        (&7.into(), &"bob".into(), &8000.into())
    );
    assert_eq!((&told["encoding"], &told["digits_cut"]), (&"wav".into(), &0.into()));
    let digits: Vec<&str> =
        told["digits"].as_array().unwrap().iter().map(|d| d["digit"].as_str().unwrap()).collect();
    assert_eq!(digits, ["0", "7", "0"]);
    let wav = bytes("a.wav");
    assert!(wav.starts_with(b"RIFF"));
    assert_eq!(wav.len() as u64, 44 + 2 * told["samples"].as_u64().unwrap());

    let streamed = fleet.call(&[&line[..], &["--output", "-"]].concat());
    assert!(streamed.stdout == wav && streamed.stderr.is_empty(), "the same seed gives the same bytes");
    fleet.ok(&[&line[..], &["--output", &path("a.pcm")]].concat());
    assert_eq!(bytes("a.pcm"), wav[44..]);
    fleet.ok(&[&line[..6], &["8", "--output", &path("b.wav")]].concat());
    assert!(bytes("b.wav") != wav, "another seed, another sound");

    let again = fleet.call(&[&line[..], &["--output", &path("a.wav")]].concat());
    assert_eq!(String::from_utf8(again.stderr).unwrap(), format!("replaced {}\n", path("a.wav")));

    // What `tiny-planner` plans for this speaker is no number.
    let noisy = ["audio", "synthesize", "07", "-m", "tiny-voice", "-s", "noisy", "--output", &path("n.wav")];
    let noisy = fleet.call(&noisy);
    let warned = String::from_utf8(noisy.stderr).unwrap();
    assert!(noisy.status.success(), "{warned}");
    assert_eq!(warned, "warning: 2 of 2 digits became noise and were cut short; try another --seed\n");
}

#[test]
fn what_cannot_be_said_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let fleet = up(directory.path());
    let out = directory.path().join("o.wav");
    let out = out.to_str().unwrap();
    for (line, code, words) in [
        (&["audio", "synthesize", "0x", "-o", out][..], 3, ["text: has 'x' at 1", "INVALID_ARGUMENT"]),
        (&["audio", "synthesize", "0", "-o", out, "-t", "3"], 3, ["temperature: ", "0 to 2"]),
        (&["audio", "synthesize", "0", "-o", out, "-s", "eve"], 4, ["ann, bob, noisy", "NOT_FOUND"]),
        (&["audio", "synthesize", "0", "-o", out, "-m", "nobody"], 4, ["tiny-voice", "NOT_FOUND"]),
        (&["audio", "synthesize", "0", "-o", "-", "--json"], 2, ["--json", "stdout"]),
        (&["text", "generate", "x"], 4, ["char-rnn", "NOT_FOUND"]),
    ] {
        let output = fleet.call(line);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(!Path::new(out).exists(), "nothing is written where nothing was answered");
}
