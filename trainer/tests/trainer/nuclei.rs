//! Nuclei: the data, the baselines, and the way from a run to masks as they are served.

use std::path::Path;

use atelier_package::{Existing, Kind, Package};
use atelier_trainer::card::exhibit::{self, Exhibit};
use atelier_trainer::data::nuclei::{Nuclei, Nucleus, Part};
use atelier_trainer::evaluate::segmentation::agreement::Agreement;
use atelier_trainer::evaluate::segmentation::pixel_ridge::PixelRidge;
use atelier_trainer::evaluate::segmentation::{Segmenter, otsu};
use atelier_trainer::evaluate::{Settings, evaluate};
use atelier_trainer::export::{Weights, export};
use atelier_trainer::fit::{Outcome, Start, fit};
use atelier_trainer::recipe::{Family, RecipeConfig};
use atelier_trainer::run::RunDir;
use atelier_transforms::segmentation::{Mask, Plane};
use tch::Device;

use crate::evaluators::real_data;
use crate::support::{fixtures, generator, recipe, runtime};

fn part(nuclei: &Nuclei, part: Part) -> Vec<&Nucleus> {
    nuclei.part(part).collect()
}

fn agreement<'a>(images: &[&'a Nucleus], mask: impl Fn(&'a Nucleus) -> Mask) -> Agreement {
    let mut agreement = Agreement::default();
    for nucleus in images {
        agreement.add(&mask(nucleus), nucleus);
    }
    agreement
}

#[track_caller]
fn close(value: f64, expected: f64, within: f64) {
    assert!((value - expected).abs() < within, "{value}, not {expected}");
}

#[test]
fn each_image_belongs_to_one_part_whatever_else_there_is() {
    let nuclei = Nuclei::read(&fixtures()).unwrap();
    let ids = |of| part(&nuclei, of).iter().map(|n| n.id).collect::<Vec<_>>();
    assert_eq!(ids(Part::Test), [31, 36, 38]);
    assert_eq!(ids(Part::Validation).len() + ids(Part::Training).len(), 8);
    let first = &nuclei.all[0];
    assert_eq!((first.id, first.count, first.image.width(), first.mask.height()), (1, 5, 64, 64));
    close(first.mask.area() as f64 / 4096.0, 0.225, 0.001);
    assert_eq!(first.mask.pieces().len(), 5);
}

#[test]
fn data_that_is_not_as_it_should_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let nuclei = dir.path().join("nuclei");
    for sub in ["images", "masks"] {
        std::fs::create_dir_all(nuclei.join(sub)).unwrap();
    }
    let index = nuclei.join("index.csv");
    let wrong = |text: &str| {
        std::fs::write(&index, text).unwrap();
        Nuclei::read(dir.path()).unwrap_err().to_string()
    };
    assert!(wrong("id,nuclei\n").contains("index.csv: has no column source_id"));
    assert!(wrong("id,source_id,nuclei\nx,a,1\n").contains("line 2: `x` is no whole number"));
    assert!(wrong("id,source_id,nuclei\n0,a,1\n").contains("images/000.png: No such file"));
    std::fs::write(nuclei.join("images/000.png"), "GIF89a").unwrap();
    assert!(wrong("id,source_id,nuclei\n0,a,1\n").contains("images/000.png: no PNG"));
    image::GrayImage::new(32, 32).save(nuclei.join("images/000.png")).unwrap();
    image::GrayImage::new(32, 16).save(nuclei.join("masks/000.png")).unwrap();
    assert!(wrong("id,source_id,nuclei\n0,a,1\n").contains("image 0 or its mask is not 32x32"));
    image::GrayImage::new(32, 32).save(nuclei.join("masks/000.png")).unwrap();
    assert!(wrong("id,source_id,nuclei\n0,a,1\n").contains("lists 1 images, of which none is for Training"));
}

/// A small network, trained for a moment on the fixtures.
fn trained(dir: &Path) -> RecipeConfig {
    let mut config = recipe("nuclei-unet");
    (config.epochs, config.every, config.batch) = (60, 60, 3);
    config.optimiser.learning_rate = 6e-3;
    config.optimiser.average = 0.9;
    let Family::Segmentation(c) = &mut config.family else { panic!("another family") };
    (c.network.widths, c.network.size, c.augment.crop) = (vec![12, 16], 32, 32);
    c.segmentation.overlap = 12;
    let _alone = generator();
    let outcome =
        fit(&config, &fixtures(), Device::Cpu, &dir.join("run"), &Start::Fresh, &|_| false).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    config
}

#[test]
fn a_run_becomes_a_package_whose_masks_are_those_of_the_annotators() {
    let dir = tempfile::tempdir().unwrap();
    let config = trained(dir.path());
    let run = RunDir::open(&dir.path().join("run")).unwrap().0;
    let target = dir.path().join("nuclei-unet/1");
    export(&run, Weights::Last, &config, &fixtures(), &target, Existing::Refuse, runtime()).unwrap();
    let package = Package::open(&target).unwrap();
    let table = package.manifest().segmentation.unwrap();
    assert_eq!((package.manifest().kind, table.overlap), (Kind::Segmentation, 12));
    assert!((0.2..=0.8).contains(&table.threshold), "chosen by the validation part: {table:?}");

    let settings = Settings { importance_samples: 1, limit: None, judges: None };
    let report = evaluate(&package, &fixtures(), runtime(), &settings).unwrap();
    let figure = |name: &str| report.figures.iter().find(|f| f.name == name).unwrap();
    let iou = figure("iou");
    assert!(iou.value > 0.6, "{report}");
    assert_eq!(iou.baselines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["otsu", "pixel_ridge"]);
    assert!(figure("iou_at_best_thresholds").value >= iou.value, "{report}");
    assert!(figure("dice").value > iou.value && figure("iou_of_eight").value > 0.6, "{report}");

    let Some(Exhibit::Picture { png, .. }) = exhibit::make(&package, &fixtures(), runtime()).unwrap() else {
        panic!("there is nothing to see");
    };
    let shown = image::load_from_memory(&png).unwrap().into_rgb8();
    assert!(shown.pixels().any(|p| p.0[0] == 255 && p.0[2] < 50), "outlines in orange");

    // Of another size than the tiles, and with bright specks that are no nuclei.
    let mut segmenter = Segmenter::new(&package, runtime()).unwrap();
    let black = Plane::new(50, 71, vec![0.0; 50 * 71]).unwrap();
    let probabilities = segmenter.probabilities(&segmenter.normalise(&black)).unwrap();
    assert_eq!((probabilities.height(), probabilities.width()), (50, 71));
    assert_eq!(segmenter.mask(&probabilities).area(), 0, "there is nothing in a black picture");
}

#[test]
fn baselines_find_what_stands_out() {
    let nuclei = Nuclei::read(&fixtures()).unwrap();
    let test = part(&nuclei, Part::Test);
    let rest: Vec<&Nucleus> = nuclei.all.iter().filter(|n| n.part != Part::Test).collect();
    let ridge = PixelRidge::fit(&rest);
    let otsu = agreement(&test, |n| otsu::segment(&n.image)).overlap.iou();
    let pixels = agreement(&test, |n| ridge.segment(&n.image)).overlap.iou();
    assert!(otsu > 0.5 && pixels > 0.6, "{otsu} {pixels}");
}

#[test]
fn the_threshold_of_otsu_measures_what_it_did() {
    let Some(data) = real_data() else { return };
    let nuclei = Nuclei::read(&data).unwrap();
    let all: Vec<&Nucleus> = nuclei.all.iter().collect();
    assert_eq!((all.len(), part(&nuclei, Part::Test).len()), (334, 67));
    let overlap = agreement(&all, |n| otsu::segment(&n.image)).overlap;
    close(overlap.iou(), 0.7985, 5e-5);
    close(overlap.dice(), 0.8804, 5e-5);
    close(overlap.pooled_iou(), 0.7225, 5e-5);
    close(overlap.iou_quantile(0.05), 0.528, 5e-4);
    let test = agreement(&part(&nuclei, Part::Test), |n| otsu::segment(&n.image)).overlap;
    close(test.iou(), 0.7992, 5e-5);
    close(test.dice(), 0.8819, 5e-5);
    // Pieces were counted on every fourth image.
    let fourth: Vec<&Nucleus> = nuclei.all.iter().step_by(4).collect();
    close(agreement(&fourth, |n| n.mask.clone()).count_error(), 0.095, 5e-4);
    let specks = |n: &Nucleus| otsu::segment(&n.image).without_specks(otsu::SMALLEST);
    close(agreement(&fourth, specks).count_error(), 0.158, 5e-4);
}

#[test]
fn the_classifier_of_pixels_measures_what_it_did() {
    let Some(data) = real_data() else { return };
    let nuclei = Nuclei::read(&data).unwrap();
    let rest: Vec<&Nucleus> = nuclei.all.iter().filter(|n| n.part != Part::Test).collect();
    let ridge = PixelRidge::fit(&rest);
    let overlap = agreement(&part(&nuclei, Part::Test), |n| ridge.segment(&n.image)).overlap;
    // Its pixels and directions were drawn by another generator.
    close(overlap.iou(), 0.865, 0.004);
    close(overlap.dice(), 0.9255, 0.003);
}
