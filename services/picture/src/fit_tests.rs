use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use proptest::prelude::*;

use super::*;

const FITS: [Fit; 3] = [Fit::Stretch, Fit::Contain, Fit::Cover];

fn decoded(image: impl Into<DynamicImage>) -> Decoded {
    let mut png = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut png, ImageFormat::Png).unwrap();
    Decoded::read(png.get_ref(), None).unwrap()
}

fn grey(height: usize, width: usize) -> ImageShape {
    ImageShape { channels: 1, height, width }
}

fn ramp(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([(x * 7 + y * 31) as u8]))
}

#[test]
fn an_image_of_the_models_size_is_never_resampled() {
    let image = ramp(28, 28);
    let wanted: Vec<f32> = image.as_raw().iter().map(|v| f32::from(*v) / 255.0).collect();
    let image = decoded(image);
    for fit in FITS.into_iter().chain([Fit::Exact]) {
        assert_eq!(fit.apply(&image, grey(28, 28)).unwrap().values, wanted, "{fit:?}");
    }
}

#[test]
fn exact_refuses_another_size_or_colour_mode_and_says_both() {
    let message = |image: &Decoded, shape| Fit::Exact.apply(image, shape).unwrap_err().to_string();
    assert_eq!(
        message(&decoded(ramp(28, 27)), grey(28, 28)),
        "is 28x27 grey, but with the fit EXACT 28x28 grey is right; another fit would convert it"
    );
    let colour = decoded(RgbImage::new(28, 28));
    assert!(message(&colour, grey(28, 28)).starts_with("is 28x28 colour, but"));
    let shape = ImageShape { channels: 3, height: 28, width: 28 };
    assert!(message(&decoded(ramp(28, 28)), shape).contains("28x28 colour is right"));
    assert!(
        message(&decoded(image::GrayAlphaImage::new(28, 28)), grey(28, 28))
            .starts_with("is 28x28 grey with alpha")
    );
    assert!(Fit::Exact.apply(&colour, shape).is_ok());
}

#[test]
fn contain_pads_evenly_with_black() {
    let white = decoded(GrayImage::from_pixel(8, 4, Luma([255])));
    let picture = Fit::Contain.apply(&white, grey(4, 4)).unwrap();
    let rows: Vec<f32> = picture.values.chunks(4).map(|row| row.iter().sum::<f32>() / 4.0).collect();
    assert_eq!(rows, [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn cover_crops_evenly_what_is_over() {
    // Black with a white square in the middle, the square of the model's proportions.
    let image = decoded(GrayImage::from_fn(12, 4, |x, _| Luma([if (4..8).contains(&x) { 255 } else { 0 }])));
    let picture = Fit::Cover.apply(&image, grey(2, 2)).unwrap();
    assert_eq!(picture.values, [1.0; 4]);
}

#[test]
fn making_smaller_averages_and_does_not_skip_pixels() {
    // A checkerboard: any filter that skips pixels sees only one of its colours.
    let board = decoded(GrayImage::from_fn(64, 64, |x, y| Luma([if (x + y) % 2 == 0 { 255 } else { 0 }])));
    let picture = Fit::Stretch.apply(&board, grey(4, 4)).unwrap();
    assert!(picture.values.iter().all(|v| (v - 0.5).abs() < 0.02), "{:?}", picture.values);
}

#[test]
fn a_long_thin_image_is_fitted_without_growing_to_a_giant() {
    let thin = decoded(GrayImage::from_pixel(8192, 1, Luma([255])));
    for fit in FITS {
        let picture = fit.apply(&thin, grey(28, 28)).unwrap();
        assert!(picture.values.iter().sum::<f32>() > 27.9, "{fit:?} lost the line");
    }
}

#[test]
fn planes_follow_each_other_in_a_colour_picture() {
    let image = decoded(RgbImage::from_pixel(3, 3, image::Rgb([255, 0, 51])));
    let picture = Fit::Cover.apply(&image, ImageShape { channels: 3, height: 2, width: 2 }).unwrap();
    assert_eq!(picture.values[..8], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(picture.values[8..].iter().all(|v| (v - 0.2).abs() < 1e-6));
}

fn sides() -> impl Strategy<Value = (usize, usize)> {
    (1_usize..9000, 1_usize..9000)
}

proptest! {
    #[test]
    fn the_inscribed_rectangle_is_within_centred_and_keeps_the_proportions(of in sides(), within in sides()) {
        let r = Rectangle::inscribed(of, within);
        prop_assert!(r.width >= 1 && r.height >= 1);
        prop_assert!(r.x + r.width <= within.0 && r.y + r.height <= within.1);
        prop_assert!(r.width == within.0 || r.height == within.1, "it could be larger");
        let (right, below) = (within.0 - r.x - r.width, within.1 - r.y - r.height);
        prop_assert!(right - r.x <= 1 && below - r.y <= 1, "it is not in the middle");
        // One side is given by the other to the nearest pixel, but there is always one pixel.
        let scale = (within.0 as f64 / of.0 as f64).min(within.1 as f64 / of.1 as f64);
        prop_assert!((r.width as f64 - (of.0 as f64 * scale).max(1.0)).abs() <= 0.5 + 1e-6);
        prop_assert!((r.height as f64 - (of.1 as f64 * scale).max(1.0)).abs() <= 0.5 + 1e-6);
    }

    #[test]
    fn every_fit_gives_the_models_shape_with_values_from_0_to_1(
        (w, h) in (1_u32..60, 1_u32..60), (mw, mh) in (1_usize..40, 1_usize..40), colour in any::<bool>()
    ) {
        let image = decoded(ramp(w, h));
        let shape = ImageShape { channels: if colour { 3 } else { 1 }, height: mh, width: mw };
        for fit in FITS {
            let picture = fit.apply(&image, shape).unwrap();
            prop_assert_eq!(picture.values.len(), shape.channels * mw * mh);
            prop_assert!(picture.values.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    #[test]
    fn a_mask_is_white_where_anything_of_a_white_pixel_is_mixed_in_and_nowhere_else(
        (w, h) in (1_u32..40, 1_u32..40), (mw, mh) in (1_usize..20, 1_usize..20), at in any::<prop::sample::Index>()
    ) {
        let at = at.index((w * h) as usize) as u32;
        let image = decoded(GrayImage::from_fn(w, h, |x, y| Luma([if y * w + x == at { 255 } else { 0 }])));
        for fit in FITS {
            let mixed = fit.apply(&image, grey(mh, mw)).unwrap().values;
            let mask = fit.apply_to_mask(&image, grey(mh, mw)).unwrap().values;
            for (mixed, mask) in mixed.iter().zip(&mask) {
                prop_assert!([0.0, 1.0].contains(mask));
                // What is nothing but for rounding may be either.
                prop_assert!(*mask == 1.0 || *mixed < 1e-6, "{:?}: {}", fit, mixed);
                prop_assert!(*mask == 0.0 || *mixed > 0.0, "{:?}", fit);
            }
        }
    }

    #[test]
    fn a_plain_image_stays_plain(w in 1_u32..60, h in 1_u32..60, level in any::<u8>()) {
        let image = decoded(GrayImage::from_pixel(w, h, Luma([level])));
        for fit in [Fit::Stretch, Fit::Cover] {
            let picture = fit.apply(&image, grey(7, 9)).unwrap();
            prop_assert!(picture.values.iter().all(|v| (v - f32::from(level) / 255.0).abs() < 1e-5));
        }
    }
}
