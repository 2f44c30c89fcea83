//! `atelier codec`: classes, clusters, holes, new pictures, walks and nuclei.

use atelier_tests::pictures::{clothes, labelled, mse};
use atelier_tests::{Fleet, workspace};
use image::{DynamicImage, GrayImage};

use super::{Files, frames, objects, size};
use crate::inpainting::{mask, with_hole, within};
use crate::segmentation::{iou, nuclei};

/// A picture that must be grey.
fn grey(file: &str) -> GrayImage {
    let picture = image::open(file).unwrap();
    let DynamicImage::ImageLuma8(picture) = picture else { panic!("{file}: {:?}", picture.color()) };
    picture
}

#[test]
fn classify_names_the_class_of_most_clothes() {
    let fleet = Fleet::shared();
    let pictures = labelled();
    let names: Vec<&str> = pictures.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    let said = fleet.ok(&[&["codec", "classify", "--top", "1"][..], &names].concat());
    assert_eq!(said.lines().count(), names.len());
    let right = said
        .lines()
        .zip(&pictures)
        .filter(|(line, (path, class))| line.starts_with(&format!("{}: {class} ", path.display())));
    assert!(right.count() + 2 >= names.len(), "{said}");

    let told = objects(&fleet.ok(&["codec", "classify", names[0], "--json"]));
    assert_eq!((told.len(), &told[0]["model"]["name"]), (1, &"fashion-ae".into()));
    let guesses = told[0]["guesses"].as_array().unwrap();
    assert_eq!((guesses.len(), &guesses[0]["label"]), (3, &"Bag".into()));
}

#[test]
fn cluster_parts_trousers_from_shoes_and_draws_a_row_of_each() {
    let (fleet, files, clothes) = (Fleet::shared(), Files::new(), clothes());
    let (trousers, shoes) = ([2, 3, 5, 15], [0, 8, 9, 11, 12]);
    let save = |at: &usize| {
        let name = files.name(&format!("{at}.png"));
        clothes[*at].save(&name).unwrap();
        name
    };
    let names: Vec<String> = trousers.iter().chain(&shoes).map(save).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for method in ["spectral", "k-means"] {
        let rows = files.name(&format!("{method}.png"));
        let line = ["codec", "cluster", "-m", "fashion-ae", "-k", "2", "--method", method, "--scale", "1"];
        let told = objects(&fleet.ok(&[&line[..], &["--json", "-o", &rows], &names].concat()));
        let clusters: Vec<u64> = told.iter().map(|told| told["cluster"].as_u64().unwrap()).collect();
        assert_eq!(clusters, [1, 1, 1, 1, 0, 0, 0, 0, 0], "{method}: the larger is the first");
        assert_eq!(size(&rows), (1 + 5 * 29, 1 + 2 * 29));
    }
}

#[test]
fn inpaint_fills_a_box_or_a_mask_and_leaves_the_rest() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let original = &clothes()[1];
    let [picture, white, boxed, masked] = ["a.png", "mask.png", "box.png", "out.png"].map(|n| files.name(n));
    with_hole(original, 0).save(&picture).unwrap();
    mask().save(&white).unwrap();
    fleet.ok(&["codec", "inpaint", &picture, "--box", "7,7,14,14", "-o", &boxed]);
    fleet.ok(&["codec", "inpaint", &picture, "--mask", &white, "-o", &masked]);
    let filled = grey(&boxed);
    assert_eq!(filled, grey(&masked), "the mask is white in the box");
    assert_eq!(with_hole(&filled, 0), with_hole(original, 0), "what is around the hole");
    let (before, after) = (grey(&picture), filled);
    let far = |picture: &GrayImage| mse(&within(original), &within(picture));
    assert!(2.0 * far(&after) < far(&before), "{} of {}", far(&after), far(&before));
}

#[test]
fn new_pictures_become_files_or_a_grid() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let (drawn, grid) = (files.name("drawn/"), files.name("grid.png"));
    let told = objects(&fleet.ok(&["codec", "sample", "-n", "3", "--seed", "5", "--json", "-o", &drawn]));
    assert_eq!(told.len(), 3);
    for (at, told) in told.iter().enumerate() {
        let file = files.name(&format!("drawn/sample-{at:03}.png"));
        assert_eq!((&told["output"], &told["seed"]), (&file.as_str().into(), &5.into()));
        assert_eq!((told["code"].as_array().unwrap().len(), grey(&file).dimensions()), (40, (28, 28)));
    }
    fleet.ok(&["codec", "sample", "-n", "16", "--seed", "5", "--scale", "2", "-o", &grid]);
    assert_eq!(size(&grid), (2 * (1 + 4 * 29), 2 * (1 + 4 * 29)));
}

#[test]
fn a_walk_becomes_files_or_an_animation_and_leads_from_one_picture_to_the_other() {
    let (fleet, files, clothes) = (Fleet::shared(), Files::new(), clothes());
    let [from, to] = [(0_usize, "from.png"), (2, "to.png")].map(|(at, name)| {
        clothes[at].save(files.path(name)).unwrap();
        files.name(name)
    });
    let line = ["codec", "interpolate", &from, &to, "-n", "5", "-m", "fashion-ae", "-o"];
    fleet.ok(&[&line[..], &[files.name("walk/").as_str()]].concat());
    let walk: Vec<GrayImage> =
        (0..5).map(|at| grey(&files.name(&format!("walk/frame-{at:03}.png")))).collect();
    let nearer = |frame: &GrayImage| mse(frame, &clothes[0]) < mse(frame, &clothes[2]);
    assert!(nearer(&walk[0]) && !nearer(&walk[4]));
    let animation = files.name("walk.apng");
    fleet.ok(&[&line[..], &[animation.as_str(), "--scale", "2"]].concat());
    assert_eq!((frames(&animation), size(&animation)), (5, (56, 56)));
}

#[test]
fn segment_writes_mask_and_overlay_and_says_what_it_found() {
    let (fleet, files) = (Fleet::shared(), Files::new());
    let picture = workspace().join("tests/fixtures/nuclei/276.png").to_str().unwrap().to_owned();
    let (mask, overlay) = (files.name("mask.png"), files.name("overlay.png"));
    let line = ["codec", "segment", &picture, "--json", "--mask", &mask, "--overlay", &overlay];
    let told = objects(&fleet.ok(&line));
    let (found, (_, truth)) = (grey(&mask), nuclei());
    assert!(iou(&found, &truth) > 0.8, "{}", iou(&found, &truth));
    let area = found.iter().filter(|value| **value > 0).count();
    assert_eq!((told.len(), told[0]["area_pixels"].as_u64()), (1, Some(area as u64)));
    assert_eq!(size(&overlay), truth.dimensions());
    let pieces = told[0]["pieces"].as_u64().unwrap();
    let said = fleet.ok(&["codec", "segment", &picture]);
    let expected = format!("{picture}: {pieces} pieces, ");
    assert!(said.starts_with(&expected) && said.ends_with(&format!(" ({area} pixels)\n")), "{said}");
}
