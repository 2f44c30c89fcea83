//! What is written where things go wrong: a refused input, a reader that leaves, a file that is there already.

use std::path::Path;
use std::process::{Output, Stdio};

use image::{GenericImageView, GrayImage};
use serde_json::Value;

use crate::{Fleet, MODELS, atelier};

struct Place {
    directory: tempfile::TempDir,
    fleet: Fleet,
}

impl Place {
    fn up() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fleet = Fleet::up(Path::new(MODELS), &directory.path().join("log"));
        Self { directory, fleet }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn picture(&self, name: &str, width: u32, height: u32) -> String {
        let picture = GrayImage::from_fn(width, height, |x, y| [(x * 40 + y * 9) as u8].into());
        picture.save(self.path(name)).unwrap();
        self.path(name)
    }

    fn size(&self, name: &str) -> (u32, u32) {
        image::open(self.path(name)).unwrap().dimensions()
    }

    /// With nobody who reads its stdout.
    fn unread(&self, args: &[&str]) -> Output {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        atelier().args(args).args(["--server", &self.fleet.server]).stdout(writer).output().unwrap()
    }

    /// With a file as its stdin.
    fn fed(&self, input: &str, args: &[&str]) -> Output {
        let input = Stdio::from(std::fs::File::open(input).unwrap());
        atelier().args(args).args(["--server", &self.fleet.server]).stdin(input).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn all_files_are_written_though_nobody_reads_what_is_said_of_them() {
    let place = Place::up();
    let path = |name: &str| place.path(name);
    let [small, other, third] =
        [("a.png", 5), ("b.png", 5), ("c.png", 9)].map(|(name, width)| place.picture(name, width, 6));
    let [large, wide] = [("d.png", 24), ("e.png", 32)].map(|(name, width)| place.picture(name, width, 16));
    let rows = place.write("rows.csv", "0.5,0,0\n0.6,0,0\n0.5,0,0\n0.4,0,0\n0.5,0,0\n");
    let detect = ["codec", "detect", &rows, "--channel", "wave"];
    let stream = [&detect[..], &["--stream", "--chunk", "2"]].concat();
    for (line, output, files) in [
        (
            &["codec", "sample", "-n", "3", "--json"][..],
            "-o",
            &["new/sample-000.png", "new/sample-002.png"][..],
        ),
        (&["codec", "sample", "-n", "3", "--json"], "-o", &["new.png"]),
        (&["codec", "segment", &large, &wide], "--mask", &["masks/d.png", "masks/e.png"]),
        (&["codec", "cluster", &small, &other, &third, "--json"], "-o", &["rows.png"]),
        (&["codec", "denoise", &small, "--add-noise", "0.1", "--noisy-output", "-"], "-o", &["clean.png"]),
        (&detect, "-o", &["whole.csv"]),
        (&stream, "-o", &["streamed.csv"]),
    ] {
        let place_of_all = match files[0].split_once('/') {
            Some((folder, _)) => path(&format!("{folder}/")),
            None => path(files[0]),
        };
        let ended = place.unread(&[line, &[output, &place_of_all]].concat());
        assert_eq!((ended.status.code(), said(&ended).as_str()), (Some(0), ""), "{line:?}");
        for file in files {
            assert!(Path::new(&path(file)).is_file(), "{line:?}: no {file}");
        }
    }
    assert_eq!(place.read("whole.csv").lines().count(), 1 + 5);
    assert_eq!(place.read("streamed.csv"), place.read("whole.csv"));
}

#[test]
fn an_input_that_is_refused_is_named_once_and_does_not_take_the_grid_of_the_others_with_it() {
    let place = Place::up();
    let [first, second] = ["a.png", "b.png"].map(|name| place.picture(name, 5, 6));
    let (text, missing) = (place.write("text.png", "no picture"), place.path("missing.png"));
    let codes = place.write("codes.json", "[0, 0, 0] [0] [1, 0, 0]");
    let images = [first.as_str(), &text, &missing, &second];
    for (line, inputs, stages) in [
        (&["denoise", "--grid"][..], &images[..], 2),
        (&["reconstruct", "--grid"], &images, 2),
        (&["inpaint", "--box", "1,2,3,1", "--grid"], &images, 3),
        (&["decode"], &[codes.as_str()], 1),
    ] {
        let grid = place.path(&format!("{}.png", line[0]));
        let ended =
            place.fleet.call(&[&["codec"][..], line, inputs, &["--scale", "1", "-o", &grid]].concat());
        assert_eq!(ended.status.code(), Some(3), "{line:?}: {}", said(&ended));
        assert_eq!(place.size(&format!("{}.png", line[0])), (1 + 2 * 6, 1 + stages * 7), "{line:?}");
        let once = |name: &str| said(&ended).matches(name).count() == 1;
        assert!(line[0] == "decode" || once("missing.png") && once("text.png"), "{}", said(&ended));
    }
}

#[test]
fn codes_replace_those_of_before_only_where_there_are_some() {
    let place = Place::up();
    let (picture, text) = (place.picture("a.png", 5, 6), place.write("text.png", "no picture"));
    let codes = place.write("codes.json", "before");
    let encode = |inputs: &[&str]| {
        let ended = place.fleet.call(&[&["codec", "encode", "-o", &codes][..], inputs].concat());
        ended.status.code()
    };
    assert_eq!(encode(&[&picture, "-m", "nobody"]), Some(4));
    assert_eq!(encode(&[&text]), Some(3));
    assert_eq!(encode(&[&text, &text]), Some(3));
    assert_eq!(place.read("codes.json"), "before");
    assert_eq!(encode(&[&text, &picture]), Some(3));
    assert_eq!(place.read("codes.json").lines().count(), 1);
}

#[test]
fn a_code_is_decoded_by_the_model_that_encoded_it() {
    let place = Place::up();
    let picture = place.picture("a.png", 4, 4);
    let codes = place.path("codes.json");
    place.fleet.ok(&["codec", "encode", &picture, "-m", "colour-ae", "-o", &codes]);
    for line in [&["decode", &codes][..], &["interpolate", &codes, &picture, "-n", "2"]] {
        let all = place.path("out/");
        let told = place.fleet.ok(&[&["codec"][..], line, &["--json", "-o", &all]].concat());
        let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(told.iter().all(|told| told["model"]["name"] == "colour-ae"), "{told:?}");
        let refused = place.fleet.call(&[&["codec"][..], line, &["-m", "tiny-vae", "-o", &all]].concat());
        assert_eq!(refused.status.code(), Some(3));
        assert!(said(&refused).contains("of colour-ae@1, but --model says tiny-vae"), "{}", said(&refused));
    }
}

#[test]
fn the_scores_of_the_rows_before_a_line_that_is_none_are_written() {
    let place = Place::up();
    for (third, words) in [("0.5;0;0", "line 3: is no row"), ("0.5,0", "has 2 numbers")] {
        let rows = place.write("rows.csv", &format!("0.5,0,0\n0.6,0,0\n{third}\n0.5,0,0\n"));
        for scores in ["scores.csv", "scores.npy"] {
            let line = ["codec", "detect", "--channel", "wave", "--stream", "-", "-o", &place.path(scores)];
            let ended = place.fed(&rows, &line);
            assert_eq!(ended.status.code(), Some(3));
            assert!(said(&ended).contains(words), "{}", said(&ended));
        }
        assert_eq!(place.read("scores.csv").lines().count(), 1 + 2);
        let npy = std::fs::read(place.path("scores.npy")).unwrap();
        // Two rows of four numbers behind the head.
        assert!(npy.starts_with(b"\x93NUMPY") && npy.windows(6).any(|part| part == b"(2, 4)"), "{npy:?}");
    }
}
