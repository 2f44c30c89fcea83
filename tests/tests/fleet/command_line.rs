//! The client commands against the fleet: what they print, what they write, and how they end.

mod codec;
mod generated;
mod telemetry;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use atelier_proto::text::v1::GenerateRequest;
use atelier_tests::Fleet;
use atelier_tests::models::versions;
use atelier_tests::pictures::{clothes, encode, png, psnr};
use image::GenericImageView;
use serde_json::Value;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What was printed as JSON lines.
fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The width and height of a picture in a file.
fn size(file: &str) -> (u32, u32) {
    image::load_from_memory(&std::fs::read(file).unwrap()).unwrap().dimensions()
}

/// How many frames a file has as an animation.
fn frames(file: &str) -> usize {
    std::fs::read(file).unwrap().windows(4).filter(|chunk| *chunk == b"fcTL").count()
}

#[test]
fn denoise_writes_pictures_that_are_nearer_to_the_clean_ones() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let clothes = clothes();
    let clean: Vec<String> = (0..4).map(|at| files.name(&format!("{at}.png"))).collect();
    for (name, picture) in clean.iter().zip(&clothes) {
        picture.save(name).unwrap();
    }
    let names: Vec<&str> = clean.iter().map(String::as_str).collect();
    let (noisy, out) = (files.name("noisy/"), files.name("out/"));
    let line = ["--add-noise", "0.3", "--seed", "5", "--noisy-output", &noisy, "--output", &out];
    fleet.ok(&[&["codec", "denoise"][..], &names, &line].concat());
    for (at, clean) in clothes[..4].iter().enumerate() {
        let open = |folder: &str| image::open(files.path(&format!("{folder}/{at}.png"))).unwrap().to_luma8();
        let (before, after) = (psnr(clean, &open("noisy")), psnr(clean, &open("out")));
        assert!(after > before + 2.0, "{at}.png: {before:.2} dB, then {after:.2} dB");
    }
    let grid = files.name("grid.png");
    let line = ["--add-noise", "0.3", "--grid", "--scale", "1", "--output", &grid];
    fleet.ok(&[&["codec", "denoise"][..], &names, &line].concat());
    let (width, height) = size(&grid);
    assert!(width >= 4 * 28 && height >= 3 * 28, "clean, noisy and denoised: {width}x{height}");
}

#[test]
fn a_picture_goes_in_by_stdin_and_out_by_stdout() {
    let fleet = Fleet::shared();
    let mut command = fleet.command(&["codec", "reconstruct"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&png(clothes()[0].clone())).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(image::load_from_memory(&output.stdout).unwrap().dimensions(), (28, 28));
}

#[test]
fn codes_that_are_written_can_be_decoded_again() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let (picture, codes) = (files.name("a.png"), files.name("codes.json"));
    clothes()[2].save(&picture).unwrap();
    std::fs::write(&codes, fleet.ok(&["codec", "encode", &picture])).unwrap();
    let (decoded, again) = (files.name("decoded.png"), files.name("again.png"));
    fleet.ok(&["codec", "decode", &codes, "--output", &decoded]);
    fleet.ok(&["codec", "reconstruct", &picture, "--output", &again]);
    assert_eq!(image::open(decoded).unwrap(), image::open(again).unwrap());
    let frames = fleet.ok(&[
        "codec",
        "interpolate",
        &picture,
        &codes,
        "--steps",
        "5",
        "--json",
        "-o",
        &files.name("w"),
    ]);
    assert_eq!(frames.lines().count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generate_prints_the_text_of_its_seed() {
    let fleet = Fleet::shared();
    let line = ["text", "generate", "ROMEO:\n", "--seed", "42", "--max-chars", "300"];
    let text = fleet.ok(&line);
    assert_eq!(text, fleet.ok(&line), "the same seed gives the same text");
    assert_ne!(text, fleet.ok(&["text", "generate", "ROMEO:\n", "--seed", "43", "--max-chars", "300"]));
    let request =
        GenerateRequest { prompt: "ROMEO:\n".into(), seed: 42, max_chars: Some(300), ..Default::default() };
    assert_eq!(text, fleet.write(request).await.unwrap().text(), "to the byte what the service answers");

    let answer: Value = serde_json::from_str(&fleet.ok(&[&line[..], &["--json"]].concat())).unwrap();
    assert_eq!((&answer["text"], &answer["seed"]), (&text.into(), &42.into()));
    assert_eq!((&answer["reason"], &answer["chars"]), (&"max_chars".into(), &300.into()));
    let score: Value =
        serde_json::from_str(&fleet.ok(&["text", "score", "To be, or not to be", "--json"])).unwrap();
    assert!(score["bits_per_char"].as_f64().is_some_and(|bits| (0.5..6.0).contains(&bits)), "{score}");
}

#[test]
fn models_prints_what_is_served() {
    let fleet = Fleet::shared();
    let models: Value = serde_json::from_str(&fleet.ok(&["models", "--json"])).unwrap();
    let models = models.as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    let shipped = atelier_tests::models::all();
    assert_eq!(names, shipped.iter().map(|model| &*model.name).collect::<Vec<_>>());
    for model in models {
        for field in ["version", "kind", "licence", "summary", "data", "role", "device", "graphs", "metrics"]
        {
            assert!(!model[field].is_null(), "{field}: {model}");
        }
    }
    let table = fleet.ok(&["models"]);
    assert_eq!(table.lines().count(), 1 + models.len(), "a heading and a line for each: {table}");
}

#[test]
fn how_a_command_ends_says_what_went_wrong() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let (picture, out, text) = (files.name("a.png"), files.name("o.png"), files.name("not.png"));
    clothes()[0].save(&picture).unwrap();
    std::fs::write(&text, "not an image").unwrap();
    let jpeg = files.name("cut.jpg");
    let whole = encode(image::DynamicImage::from(clothes()[0].clone()).to_rgb8(), image::ImageFormat::Jpeg);
    std::fs::write(&jpeg, &whole[..whole.len() / 2]).unwrap();
    for (line, code, says) in [
        (&["codec", "denoise", &picture, "-o", &out, "--sigma", "0.9"][..], 3, "sigma: "),
        (&["codec", "denoise", &text, "-o", &out], 3, "image.data: "),
        (&["codec", "encode", &jpeg], 3, "image.data: "),
        (&["codec", "denoise", "/no/such/file.png", "-o", &out], 3, "/no/such/file.png"),
        (&["text", "generate", "na\u{ef}ve"], 3, "prompt: "),
        (&["text", "generate", "--max-chars", "0"], 3, "max_chars: "),
        (&["codec", "sample", "-o", &out, "--model", "nobody"], 4, "fashion-vae"),
        (&["text", "generate", "--model", "shakespeare-rnn@9"], 4, &versions("shakespeare-rnn")),
        (&["text", "generate", "-n", "100000", "--timeout", "1s"], 6, "DEADLINE_EXCEEDED"),
        (&["codec", "paint"], 2, "paint"),
    ] {
        let output = fleet.output(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}: {said}");
        assert!(said.contains(says), "{line:?}: {said}");
    }
    assert!(!files.path("o.png").exists(), "nothing is written where nothing was answered");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = fleet.output(&["models", "--server", &format!("http://{free}")]);
    assert_eq!(nobody.status.code(), Some(5));
}
