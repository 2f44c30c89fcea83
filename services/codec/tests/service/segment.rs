use atelier_proto::codec::v1::codec_service_server::CodecService;
use atelier_proto::codec::v1::{SegmentRequest, SegmentResponse};
use image::{GrayImage, Luma, Rgb, RgbImage};
use tonic::Request;

use crate::refusals::invalid;
use crate::*;

/// A dark picture with bright rectangles: left, top, right, bottom.
fn drawn(width: u32, height: u32, bright: &[(u32, u32, u32, u32)]) -> GrayImage {
    let inside = |x, y| {
        bright
            .iter()
            .any(|&(left, top, right, bottom)| (left..right).contains(&x) && (top..bottom).contains(&y))
    };
    GrayImage::from_fn(width, height, |x, y| Luma([if inside(x, y) { 190 } else { 30 }]))
}

async fn segment(request: SegmentRequest) -> SegmentResponse {
    codec().segment(Request::new(request)).await.unwrap().into_inner()
}

fn mask(answer: &SegmentResponse) -> GrayImage {
    picture(answer.mask.clone()).as_luma8().expect("a mask is grey").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_any_size_is_segmented_at_its_own() {
    // Smaller than the model's tiles of 24 x 16, as large as one, and larger, so that rectangles lie across
    // the borders between tiles.
    for (width, height) in [(16, 16), (24, 16), (16, 61), (117, 83)] {
        let bright = [(2, 3, 9, 8), (11, 2, 14, 15), (70, 40, 100, 75)];
        let image = drawn(width, height, &bright);
        let answer = segment(SegmentRequest { image: png(image.clone()), ..Default::default() }).await;
        assert_eq!(answer.model.as_ref().unwrap().name, "tiny-segmenter");
        let expected = GrayImage::from_fn(width, height, |x, y| {
            Luma([if image.get_pixel(x, y).0[0] > 100 { 255 } else { 0 }])
        });
        assert_eq!(mask(&answer), expected, "{width}x{height}");
        let area = expected.iter().filter(|value| **value > 0).count();
        assert_eq!((answer.area_pixels, answer.overlay), (area as u64, None));
        assert!((answer.area_fraction - area as f64 / f64::from(width * height)).abs() < 1e-12);
        assert_eq!(answer.pieces, if width > 70 { 3 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn specks_are_not_foreground() {
    let image = drawn(40, 30, &[(5, 5, 12, 12), (20, 20, 21, 22)]);
    let answer = segment(SegmentRequest { image: png(image), ..Default::default() }).await;
    assert_eq!((answer.area_pixels, answer.pieces), (49, 1));
    assert_eq!(mask(&answer).get_pixel(20, 20).0, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_becomes_grey_and_an_overlay_shows_the_outlines() {
    let bright = |x: u32, y: u32| (10..20).contains(&x) && (6..14).contains(&y);
    let image =
        RgbImage::from_fn(50, 20, |x, y| Rgb(if bright(x, y) { [40, 220, 60] } else { [40, 30, 90] }));
    let answer = segment(SegmentRequest { image: png(image), overlay: true, ..Default::default() }).await;
    assert_eq!((answer.area_pixels, answer.pieces), (80, 1));
    let overlay = picture(answer.overlay);
    assert_eq!((overlay.width(), overlay.height(), overlay.color()), (50, 20, image::ColorType::Rgb8));
    let overlay = overlay.into_rgb8();
    let coloured = overlay.pixels().filter(|p| p.0[0] > p.0[2]).count();
    assert_eq!(coloured, 2 * 10 + 2 * 8 - 4, "the outline, one pixel wide");
    assert_eq!(overlay.get_pixel(15, 10).0, [255; 3], "contrast is stretched");
    assert_eq!(overlay.get_pixel(0, 0).0, [0; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exposure_of_a_picture_does_not_matter_and_one_without_contrast_is_background() {
    let image = drawn(30, 30, &[(5, 5, 12, 12)]);
    let dim = GrayImage::from_fn(30, 30, |x, y| Luma([image.get_pixel(x, y).0[0] / 10]));
    let [one, other] = [image, dim].map(png);
    let one = segment(SegmentRequest { image: one, ..Default::default() }).await;
    let other = segment(SegmentRequest { image: other, ..Default::default() }).await;
    assert_eq!(one.mask, other.mask);
    let flat = GrayImage::from_pixel(30, 30, Luma([200]));
    let flat = segment(SegmentRequest { image: png(flat), ..Default::default() }).await;
    assert_eq!((flat.area_pixels, flat.pieces, flat.area_fraction), (0, 0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_threshold_finds_more() {
    // Brightness from 0 to 1 from left to right: the logit is 20 (x - 0.5).
    let image = GrayImage::from_fn(101, 20, |x, _| Luma([(x as f32 * 2.55).round() as u8]));
    let mut areas = Vec::new();
    for (threshold, expected) in [(Some(0.9), 0.9), (None, 0.5), (Some(0.1), 0.1)] {
        let answer =
            segment(SegmentRequest { image: png(image.clone()), threshold, ..Default::default() }).await;
        assert!((answer.threshold - expected).abs() < 1e-6);
        areas.push(answer.area_fraction);
    }
    // The logit of 0.9 is 2.197, at brightness 0.61.
    for (area, expected) in areas.iter().zip([0.39, 0.5, 0.61]) {
        assert!((area - expected).abs() < 0.02, "{areas:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_segmented_is_refused_naming_the_field() {
    let codec = codec();
    let request = |image| SegmentRequest { image, ..Default::default() };
    for (image, field, right) in [
        (None, "image", "a PNG or JPEG image is right"),
        (Some(Image { data: b"GIF89a".as_slice().into(), format: 0 }), "image.data", "neither PNG nor JPEG"),
        (png(GrayImage::new(300, 15)), "image.data", "is 300x15 pixels, but at least 16 a side"),
        (png(GrayImage::new(2049, 2048)), "image.data", "at most 4194304 in all are right"),
    ] {
        invalid(codec.segment(Request::new(request(image))).await, field, right);
    }
    for threshold in [0.0, 1.0, -0.5, f32::NAN] {
        let request = SegmentRequest { threshold: Some(threshold), ..request(png(drawn(20, 20, &[]))) };
        invalid(codec.segment(Request::new(request)).await, "threshold", "0.01 to 0.99 is right");
    }
    let request = SegmentRequest { model: "tiny-dae".into(), ..request(png(drawn(20, 20, &[]))) };
    let right = "needs a model of kind segmentation; there is: tiny-segmenter";
    invalid(codec.segment(Request::new(request)).await, "model", right);
}
