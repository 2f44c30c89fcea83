//! `atelier image` against a fleet that serves nothing else.

use std::path::Path;

use image::{GenericImageView, Rgb, RgbImage};

use crate::Fleet;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/tests/models");

fn up(directory: &Path) -> Fleet {
    Fleet::up(Path::new(MODELS), &directory.join("log"))
}

fn size(path: &str) -> (u32, u32) {
    image::open(path).unwrap().dimensions()
}

/// A picture of one colour: of middling brightness the little ager takes it for a face.
fn plain(path: &str, level: u8) {
    RgbImage::from_pixel(6, 6, Rgb([level; 3])).save(path).unwrap();
}

#[test]
fn images_become_a_picture_files_a_grid_a_strip_or_an_animation() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let fleet = up(directory.path());
    let models: serde_json::Value = serde_json::from_str(&fleet.ok(&["models", "--json"])).unwrap();
    assert!(models.as_array().unwrap().iter().all(|m| m["role"] == "image"), "{models}");

    let generate = ["image", "generate", "--seed", "7"];
    let once = fleet.call(&generate);
    assert!(once.stdout.starts_with(b"\x89PNG") && once.stderr.is_empty());
    assert_eq!(fleet.call(&generate).stdout, once.stdout, "the same seed gives the same bytes");

    let line = ["--class", "ankle boot", "--count", "16", "--output", &path("grid.png")];
    fleet.ok(&[&generate[..], &line].concat());
    assert_eq!(size(&path("grid.png")), (4 * (1 + 4 * 6), 4 * (1 + 4 * 5)));

    let line = ["--count", "3", "--json", "--output", &path("out/")];
    let told = fleet.ok(&[&generate[..], &line].concat());
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 3);
    for (index, told) in told.iter().enumerate() {
        assert_eq!((&told["index"], &told["seed"]), (&index.into(), &7.into()));
        let class = told["shows"]["class"]["name"].as_str().unwrap();
        assert!(["bag", "Ankle boot", "coat"].contains(&class) && told["shows"]["age"].is_null(), "{told}");
    }
    assert_eq!(std::fs::read(path("out/image-000.png")).unwrap(), once.stdout);

    let walk = ["image", "interpolate", "--from", "7", "--to", "7:2", "--frames", "5"];
    fleet.ok(&[&walk[..], &["--output", &path("frames/")]].concat());
    for (frame, image) in [("frame-000", "image-000"), ("frame-004", "image-002")] {
        let bytes = |name: String| std::fs::read(path(&name)).unwrap();
        assert_eq!(bytes(format!("frames/{frame}.png")), bytes(format!("out/{image}.png")));
    }
    fleet.ok(&[&walk[..], &["--columns", "5", "--scale", "1", "--output", &path("strip.png")]].concat());
    assert_eq!(size(&path("strip.png")), (1 + 5 * 6, 1 + 5));
    fleet.ok(&[&walk[..], &["--output", &path("walk.apng")]].concat());
    let animation = std::fs::read(path("walk.apng")).unwrap();
    assert!(animation.starts_with(b"\x89PNG"));
    assert_eq!(animation.windows(4).filter(|chunk| *chunk == b"fcTL").count(), 5);
}

#[test]
fn a_face_is_shown_at_several_ages_beside_itself_and_the_licence_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (face, strip) = (path("face.png"), path("strip.png"));
    plain(&face, 128);
    let fleet = up(directory.path());
    let line = ["image", "age", &face, "--ages", "5,20.5,100", "--scale", "1", "--output", &strip];
    let output = fleet.call(&line);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "licence of tiny-ager@1: non-commercial research only\n");
    let picture = image::open(&strip).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (1 + 4 * 7, 1 + 7));
    // The model is image * (1 - age / 200).
    let levels = [0, 1, 2, 3].map(|column| picture.get_pixel(3 + column * 7, 3).0[0]);
    assert_eq!(levels, [128, 125, 115, 64]);

    let told = fleet.ok(&["image", "age", &face, "--ages", "5,20.5,5", "--json", "--output", &path("ages/")]);
    assert_eq!(told.lines().count(), 3);
    for (line, name) in told.lines().zip(["age-05.png", "age-20.5.png", "age-05-2.png"]) {
        let told: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(told["output"].as_str().unwrap().ends_with(name), "{told}");
        assert_eq!(told["licence"], "non-commercial research only");
        assert_eq!(size(&path(&format!("ages/{name}"))), (6, 6));
    }
    let line = ["image", "generate", "--model", "face-gan", "--age", "30", "--output", &path("made.png")];
    let output = fleet.call(&line);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("licence of face-gan@1: non-commercial"));
}

#[test]
fn what_the_image_role_refuses_has_its_exit_code_and_a_role_without_packages_says_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (dark, out) = (path("dark.png"), path("o.png"));
    plain(&dark, 3);
    let fleet = up(directory.path());
    for (line, code, words) in [
        (&["image", "generate", "-o", &out, "--class", "hat"][..], 4, ["no class \"hat\"", "coat (2)"]),
        (&["image", "generate", "-o", &out, "--age", "30"], 3, ["age: ", "knows no ages"]),
        (&["image", "generate", "-o", &out, "--truncation", "9"], 3, ["truncation: ", "0.1 to 4"]),
        (&["image", "generate", "-o", &out, "--model", "nobody"], 4, ["nobody", "class-gan"]),
        (&["image", "interpolate", "-o", &out, "--to-class", "4"], 4, ["no class \"4\"", "bag (0)"]),
        (&["image", "age", &dark, "-o", &out, "--ages", "30"], 3, ["image: ", "novelty score"]),
        (&["image", "age", &dark, "-o", &out, "--ages", "130"], 3, ["ages: ", "0 to 100 years"]),
        (&["codec", "sample", "-o", &out], 4, ["variational-autoencoder", "tiny-ager"]),
        (&["text", "generate", "x"], 4, ["char-rnn", "NOT_FOUND"]),
    ] {
        let output = fleet.call(line);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(words.iter().all(|word| error.contains(word)) && error.contains(", request "), "{error}");
    }
    assert!(!Path::new(&out).exists(), "nothing is written where nothing was answered");
}
