//! Holes in real pictures, filled by the shipped model.

use std::ops::Range;

use atelier_proto::codec::v1::{Fit, InpaintRequest};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use atelier_tests::pictures::{SIDE, answer, clothes, file, mean, message, mse};
use image::{GrayImage, Luma, imageops};
use tonic::Code;

/// The rows and the columns of the hole: the middle quarter of a picture.
const HOLE: Range<u32> = 7..21;

/// White in the hole, black around it.
pub(crate) fn mask() -> GrayImage {
    let inside = |x: u32, y: u32| HOLE.contains(&x) && HOLE.contains(&y);
    GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
}

/// What a picture shows in the hole.
pub(crate) fn within(picture: &GrayImage) -> GrayImage {
    let length = HOLE.end - HOLE.start;
    imageops::crop_imm(picture, HOLE.start, HOLE.start, length, length).to_image()
}

/// The picture with one grey in the hole.
pub(crate) fn with_hole(picture: &GrayImage, grey: u8) -> GrayImage {
    let length = HOLE.end - HOLE.start;
    let (mut holed, patch) = (picture.clone(), GrayImage::from_pixel(length, length, Luma([grey])));
    imageops::replace(&mut holed, &patch, HOLE.start.into(), HOLE.start.into());
    holed
}

fn request(picture: &GrayImage) -> InpaintRequest {
    let (image, mask) = (message(picture), message(&mask()));
    InpaintRequest { image, mask, fit: Fit::Exact.into(), ..Default::default() }
}

async fn inpaint(fleet: &Fleet, picture: &GrayImage) -> GrayImage {
    let response = fleet.codec().inpaint(request(picture)).await.unwrap().into_inner();
    assert_eq!(response.model.unwrap().name, "fashion-inpainter");
    assert_eq!(response.filled_fraction, 0.25);
    answer(response.image)
}

#[tokio::test]
async fn a_hole_is_filled_much_nearer_to_what_was_there_than_the_best_grey_and_the_rest_stays() {
    let fleet = Fleet::shared();
    let (mut filled, mut grey) = (Vec::new(), Vec::new());
    for picture in clothes() {
        let made = inpaint(&fleet, &picture).await;
        assert_eq!(with_hole(&made, 0), with_hole(&picture, 0), "what is around the hole stays as it is");
        let was = within(&picture);
        let best = mean(was.iter().map(|value| f64::from(*value))).round() as u8;
        filled.push(mse(&was, &within(&made)));
        grey.push(mse(&was, &within(&with_hole(&picture, best))));
    }
    let (filled, grey) = (mean(filled), mean(grey));
    assert!(2.0 * filled < grey, "mean squared error {filled:.4}, of the mean grey {grey:.4}");
}

#[tokio::test]
async fn what_an_image_has_in_its_hole_is_not_looked_at() {
    let fleet = Fleet::shared();
    let picture = &clothes()[0];
    let expected = inpaint(&fleet, picture).await;
    for grey in [0, 255] {
        assert_eq!(inpaint(&fleet, &with_hole(picture, grey)).await, expected);
    }
}

#[tokio::test]
async fn what_has_no_hole_or_no_picture_around_it_is_refused_through_the_gateway() {
    let fleet = Fleet::shared();
    let good = request(&clothes()[0]);
    let narrow = imageops::crop_imm(&mask(), 0, 0, SIDE - 1, SIDE).to_image();
    for (request, field) in [
        (InpaintRequest { image: None, ..good.clone() }, "image"),
        (InpaintRequest { mask: None, ..good.clone() }, "mask"),
        (InpaintRequest { mask: file("no picture"), ..good.clone() }, "mask.data"),
        (InpaintRequest { mask: message(&GrayImage::new(SIDE, SIDE)), ..good.clone() }, "mask.data"),
        (InpaintRequest { mask: message(&narrow), ..good.clone() }, "mask.data"),
        (InpaintRequest { fit: 9, ..good.clone() }, "fit"),
        (InpaintRequest { model: "fashion-dae".into(), ..good.clone() }, "model"),
    ] {
        assert_eq!(blamed(&fleet.codec().inpaint(request).await.unwrap_err()), field);
    }
    let unknown = InpaintRequest { model: "nobody".into(), ..good };
    assert_eq!(fleet.codec().inpaint(unknown).await.unwrap_err().code(), Code::NotFound);
}
