//! `atelier image`: new pictures and faces, and faces at other ages.

use std::process::Output;

use atelier_tests::{Fleet, workspace};

use super::{Files, frames, objects, size};

/// What the licence of a face is said for.
fn says_licence(output: &Output, model: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with(&format!("licence of {model}@")) && said.contains("non-commercial"), "{said}");
}

#[test]
fn generate_makes_pictures_in_which_another_model_sees_the_class_that_was_asked_for() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let line = ["image", "generate", "-m", "fashion-dcgan", "-n", "16", "--seed", "3", "--json"];
    for class in ["Bag", "Ankle boot"] {
        let folder = files.name(&format!("{class}/"));
        let told = objects(&fleet.ok(&[&line[..], &["--class", class, "-o", &folder]].concat()));
        assert!(told.iter().all(|told| told["shows"]["class"]["name"] == class), "{told:?}");
        let made: Vec<&str> = told.iter().map(|told| told["output"].as_str().unwrap()).collect();
        assert!(made.len() == 16 && made.iter().all(|file| size(file) == (28, 28)), "{made:?}");
        let seen = fleet.ok(&[&["codec", "classify", "--top", "1"][..], &made].concat());
        let right = seen.lines().filter(|line| line.contains(&format!(".png: {class} "))).count();
        assert!(right >= 13, "{right} of 16 are seen as {class}: {seen}");
    }
}

#[test]
fn a_walk_of_one_class_becomes_an_animation() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let walk = files.name("walk.apng");
    let ends = ["--from", "7", "--to", "7:2", "--class", "Sandal"];
    let line = ["image", "interpolate", "-m", "fashion-dcgan", "-n", "6", "--scale", "3", "-o", &walk];
    fleet.ok(&[&line[..], &ends].concat());
    assert_eq!((frames(&walk), size(&walk)), (6, (3 * 28, 3 * 28)));
}

/// Faces that a generator made: pictures of people are not ours to keep here.
#[test]
fn a_generated_face_is_shown_at_other_ages_beside_itself_and_what_is_no_face_is_refused() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let (faces, strip) = (files.name("faces/"), files.name("strip.png"));
    let line = ["image", "generate", "-m", "utkface-gan", "--age", "30", "--truncation", "0.5", "-n", "8"];
    says_licence(&fleet.output(&[&line[..], &["--seed", "1", "-o", &faces]].concat()), "utkface-gan");
    let age =
        |face: &str| fleet.output(&["image", "age", face, "--ages", "10,70", "--scale", "1", "-o", &strip]);
    // What was generated may not pass for a face; most must, and one is enough here.
    let aged = (0..8).map(|at| files.name(&format!("faces/image-{at:03}.png"))).find_map(|face| {
        assert_eq!(size(&face), (64, 64));
        Some(age(&face)).filter(|output| output.status.success())
    });
    says_licence(&aged.expect("one of eight generated faces passes for a face"), "face-ageing");
    assert_eq!(size(&strip), (1 + 3 * 65, 1 + 65), "the face and two ages");
    let strip = image::open(&strip).unwrap().to_rgb8();
    let cell = |column: u32| image::imageops::crop_imm(&strip, 1 + column * 65, 1, 64, 64).to_image();
    assert!(cell(0) != cell(1) && cell(1) != cell(2), "other ages look other");

    let refused = age(workspace().join("docs/clothes/boot.png").to_str().unwrap());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(3) && said.contains("image: ") && said.contains("novelty"),
        "{said}"
    );
}
