use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    output: OutputArgs,
}

fn args(line: &[&str]) -> OutputArgs {
    Line::try_parse_from(std::iter::once("x").chain(line.iter().copied())).unwrap().output
}

fn png(side: u32) -> Vec<u8> {
    encode(&DynamicImage::new_luma8(side, side)).unwrap()
}

#[test]
fn several_pictures_become_files_or_one_grid() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let names = || vec!["a.png".to_owned(), "b.png".to_owned()];
    let mut files = Gallery::open(&args(&["-o", out.to_str().unwrap()]), names(), &[]).unwrap();
    files.put(0, &[], b"first", Value::Null).unwrap();
    files.put(1, &[], b"second", Value::Null).unwrap();
    files.close().unwrap();
    assert_eq!(std::fs::read(out.join("b.png")).unwrap(), b"second");

    let file = directory.path().join("grid.png");
    let line = ["-o", file.to_str().unwrap(), "--grid", "--scale", "1"];
    let mut grid = Gallery::open(&args(&line), names(), &[]).unwrap();
    for index in 0..2 {
        grid.put(index, &[("in", &png(9))], &png(5), json!({})).unwrap();
    }
    let held: Vec<u32> = grid.groups.iter().flatten().map(DynamicImage::width).collect();
    assert_eq!(held, [5; 4], "no more of an input is kept than is drawn");
    grid.close().unwrap();
    let grid = decode("grid", &std::fs::read(file).unwrap()).unwrap();
    assert_eq!((grid.width(), grid.height()), (1 + 2 * 6, 1 + 2 * 6));
}

#[test]
fn json_and_a_picture_do_not_share_stdout() {
    let refused = Gallery::open(&args(&["--json"]), vec!["a.png".into()], &[]).err().unwrap();
    assert_eq!(refused.exit(), Exit::Usage);
}

#[test]
fn what_was_refused_does_not_take_the_grid_of_the_others_with_it_but_what_stops_the_work_does() {
    let directory = tempfile::tempdir().unwrap();
    for (exit, drawn) in [(Exit::BadInput, true), (Exit::Unavailable, false), (Exit::Ok, false)] {
        let file = directory.path().join(format!("{exit:?}.png"));
        let names = vec!["a.png".to_owned(), "b.png".to_owned()];
        let mut grid = Gallery::open(&args(&["-o", file.to_str().unwrap()]), names, &[]).unwrap();
        grid.put(1, &[], &png(5), json!({})).unwrap();
        let ended = grid.close_after(Err(Failure::said(exit))).unwrap_err();
        assert_eq!((ended.exit(), file.exists()), (exit, drawn));
    }
}

#[test]
fn two_outputs_have_places_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let names = ["a.png".to_owned()];
    let apart = |line: &[&str], other: &str| {
        let gallery = Gallery::open(&args(line), names.to_vec(), &[]).unwrap();
        let other = Destination::open("--other", other.as_ref(), &names, &[]).unwrap();
        gallery.keep_apart("--other", &other, &names).map_err(|e| e.to_string())
    };
    assert_eq!(apart(&["-o", &path("o/")], &path("n/")), Ok(()));
    assert_eq!(apart(&["-o", &path("o.png"), "--grid"], &path("n/")), Ok(()));
    for (line, other) in [
        (&["-o", &path("o/")][..], path("./o/")),
        (&["-o", &path("o/a.png")], path("o/")),
        (&["-o", &path("o/"), "--grid"], path("o/grid.png")),
    ] {
        assert!(apart(line, &other).unwrap_err().contains("--other name one place"), "{line:?}");
    }
    let told = Gallery::open(&args(&["-o", &path("o.png"), "--json"]), names.to_vec(), &[]).unwrap();
    let refused = told.keep_apart("--other", &Destination::Stdout, &names).unwrap_err();
    assert!(refused.to_string().contains("can have stdout"), "{refused}");
}

#[test]
fn several_pictures_in_one_file_are_a_grid_or_an_animation() {
    let directory = tempfile::tempdir().unwrap();
    let names = || vec!["a.png".to_owned(), "b.png".to_owned(), "c.png".to_owned()];
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();

    let mut strip = Gallery::open(&args(&["-o", &path("strip.png"), "--scale", "1"]), names(), &[]).unwrap();
    strip.lead("the input", &png(50)).unwrap();
    for index in 0..3 {
        strip.put(index, &[], &png(5), json!({})).unwrap();
    }
    strip.close().unwrap();
    let strip = decode("strip", &std::fs::read(path("strip.png")).unwrap()).unwrap();
    assert_eq!((strip.width(), strip.height()), (1 + 4 * 6, 1 + 6), "the input and three in one row");

    let line = ["-o", &path("walk.apng"), "--scale", "2", "--fps", "5"];
    let mut walk = Gallery::open(&args(&line), names(), &[]).unwrap();
    for index in 0..3 {
        walk.put(index, &[("in", b"not looked at")], &png(5), json!({})).unwrap();
    }
    walk.close().unwrap();
    let first = decode("walk", &std::fs::read(path("walk.apng")).unwrap()).unwrap();
    assert_eq!((first.width(), first.height()), (10, 10));

    // One picture is that picture.
    let mut one = Gallery::open(&args(&["-o", &path("one.png")]), vec!["a.png".into()], &[]).unwrap();
    one.put(0, &[], b"as it came", Value::Null).unwrap();
    one.close().unwrap();
    assert_eq!(std::fs::read(path("one.png")).unwrap(), b"as it came");
}

#[test]
fn options_of_a_grid_or_an_animation_without_one_are_refused() {
    for line in [
        &["-o", "out/", "--columns", "3"][..],
        &["-o", "walk.apng", "--columns", "3"],
        &["-o", "out/", "--scale", "3"],
        &["-o", "a.png", "--fps", "3"],
        &["-o", "walk.apng", "--grid"],
    ] {
        let refused = Gallery::open(&args(line), vec!["a.png".into(), "b.png".into()], &[]).err().unwrap();
        assert_eq!(refused.exit(), Exit::Usage, "{line:?}");
    }
    assert!(Line::try_parse_from(["x", "--grid", "--columns", "0"]).is_err());
}
