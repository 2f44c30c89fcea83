//! Nuclei of a real picture, found by the shipped model.

use atelier_proto::codec::v1::{SegmentRequest, SegmentResponse};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use atelier_tests::pictures::{clothes, message};
use image::{DynamicImage, GrayImage, imageops};

/// A picture of 200 x 180 pixels, and where its nuclei are.
pub(crate) fn nuclei() -> (GrayImage, GrayImage) {
    let read = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_luma8();
    let mask = read(include_bytes!("../../fixtures/nuclei/276-mask.png"));
    (read(include_bytes!("../../fixtures/nuclei/276.png")), mask)
}

async fn segment(fleet: &Fleet, picture: &GrayImage) -> (SegmentResponse, GrayImage) {
    let request = SegmentRequest { image: message(picture), overlay: true, ..Default::default() };
    let response = fleet.codec().segment(request).await.unwrap().into_inner();
    assert_eq!(response.model.as_ref().unwrap().name, "nuclei-unet");
    let mask = image::load_from_memory(&response.mask.as_ref().unwrap().data).unwrap();
    let DynamicImage::ImageLuma8(mask) = mask else { panic!("not 8-bit grey: {:?}", mask.color()) };
    assert_eq!(mask.dimensions(), picture.dimensions());
    assert!(mask.iter().all(|value| matches!(value, 0 | 255)));
    (response, mask)
}

pub(crate) fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
    let count =
        |of: fn(bool, bool) -> bool| a.iter().zip(b.iter()).filter(|(a, b)| of(**a > 0, **b > 0)).count();
    count(|a, b| a && b) as f64 / count(|a, b| a || b) as f64
}

#[tokio::test]
async fn the_nuclei_of_a_test_image_are_where_the_annotators_saw_them() {
    let fleet = Fleet::shared();
    let (picture, truth) = nuclei();
    let (answer, mask) = segment(&fleet, &picture).await;
    assert!(iou(&mask, &truth) > 0.8, "{}", iou(&mask, &truth));
    let area = mask.iter().filter(|value| **value > 0).count();
    assert_eq!(answer.area_pixels as usize, area);
    assert!((answer.area_fraction - area as f64 / (200.0 * 180.0)).abs() < 1e-9);
    let overlay = image::load_from_memory(&answer.overlay.unwrap().data).unwrap();
    assert_eq!((overlay.width(), overlay.height()), (200, 180));
    assert!(overlay.to_rgb8().pixels().any(|p| p.0[0] > 200 && p.0[2] < 100), "outlines in orange");
}

#[tokio::test]
async fn a_picture_of_many_tiles_has_no_seams() {
    let fleet = Fleet::shared();
    let (picture, truth) = nuclei();
    let (one, _) = segment(&fleet, &picture).await;
    // Three times three, each a mirror image of its neighbours, so that nuclei go on across the borders.
    let repeat = |of: &GrayImage| {
        let mut all = GrayImage::new(600, 540);
        for row in 0..3_i64 {
            for column in 0..3_i64 {
                let mut part = of.clone();
                if row == 1 {
                    imageops::flip_vertical_in_place(&mut part);
                }
                if column == 1 {
                    imageops::flip_horizontal_in_place(&mut part);
                }
                imageops::replace(&mut all, &part, column * 200, row * 180);
            }
        }
        all
    };
    let (nine, mask) = segment(&fleet, &repeat(&picture)).await;
    assert!(iou(&mask, &repeat(&truth)) > 0.8, "{}", iou(&mask, &repeat(&truth)));
    let (expected, found) = (9.0 * one.area_pixels as f64, nine.area_pixels as f64);
    assert!((found / expected - 1.0).abs() < 0.05, "{found} pixels, not {expected}");
}

#[tokio::test]
async fn what_cannot_be_segmented_is_refused_through_the_gateway() {
    let fleet = Fleet::shared();
    let small = imageops::crop_imm(&clothes()[0], 0, 0, 15, 28).to_image();
    let (picture, _) = nuclei();
    for (request, field) in [
        (SegmentRequest::default(), "image"),
        (SegmentRequest { image: message(&small), ..Default::default() }, "image.data"),
        (
            SegmentRequest { image: message(&picture), threshold: Some(1.5), ..Default::default() },
            "threshold",
        ),
        (
            SegmentRequest { image: message(&picture), model: "fashion-dae".into(), ..Default::default() },
            "model",
        ),
    ] {
        assert_eq!(blamed(&fleet.codec().segment(request).await.unwrap_err()), field);
    }
}
